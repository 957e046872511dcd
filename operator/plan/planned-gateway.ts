import { isDeepStrictEqual } from 'node:util';
import { create } from '@bufbuild/protobuf';
import { DEFAULT_GATEWAY_SPEC, type InferenceGatewaySpec } from '../../crds/inference-gateway.ts';
import {
  AuthenticationMode,
  AuthenticationSchema,
  type Gateway,
  type Secret,
  SecretSchema,
} from '../../proto/gen/fairlead/v1/table_pb.js';
import { oldestGateway } from '../source/closed-gateway.ts';
import { type ClusterState, type Declared, objectKey } from '../source/cluster-state.ts';
import { gatewayMessage, type PlanOptions } from './gateway-message.ts';
import { gatewayReferences } from './gateway-references.ts';
import { type ListenerCertificate, listenerCertificates } from './listener-certificates.ts';
import { type GatewayFindings, gatewayStatus, olderGatewayStatus, type ResourceStatus } from './resource-status.ts';
import type { PlanWarning } from './warnings.ts';

/** What a gateway is planned from. */
interface GatewayInputs {
  readonly state: Pick<ClusterState, 'gateways' | 'closed' | 'secrets'>;
  /** As `servedGateway` says. */
  readonly served: Declared<InferenceGatewaySpec> | undefined;
  readonly options: PlanOptions;
  /** Whether there is a Consumer in the table. */
  readonly anybodyMayCall: boolean;
}

/** Everything that the plan says of gateways, and what that was made from. */
export interface PlannedGateway extends GatewayFindings {
  readonly inputs: GatewayInputs;
  readonly gateway: Gateway;
  /** By resource name, "<namespace>/<name>". */
  readonly secrets: ReadonlyMap<string, Secret>;
  readonly certificates: readonly ListenerCertificate[];
  /** Of every InferenceGateway, by "<namespace>/<name>". */
  readonly gatewayStatuses: ReadonlyMap<string, ResourceStatus>;
}

/** The gateway that is served: the oldest; undefined where none is declared, or nobody may call. */
export function servedGateway({
  gateways,
  closed,
}: Pick<ClusterState, 'gateways' | 'closed'>): Declared<InferenceGatewaySpec> | undefined {
  return closed === undefined ? oldestGateway(gateways) : undefined;
}

/** Plans the gateway, using again what `before` has. */
export function planGateway(inputs: GatewayInputs, before: PlannedGateway | undefined): PlannedGateway {
  const { state, served, options } = inputs;
  if (before !== undefined && sameInputs(inputs, before.inputs)) return before;
  const isSame =
    before?.inputs.served?.spec === served?.spec &&
    before?.inputs.served?.namespace === served?.namespace &&
    (before?.inputs.state.closed === undefined) === (state.closed === undefined) &&
    before?.inputs.options.standalone === options.standalone;
  const gateway =
    (isSame ? before?.gateway : undefined) ??
    (state.closed === undefined
      ? gatewayMessage(served?.spec ?? DEFAULT_GATEWAY_SPEC, served?.namespace ?? '', options)
      : closedGatewayMessage(options));
  const findings = served === undefined ? NOTHING_FOUND : findingsOf(served, inputs);
  const gatewayStatuses = new Map<string, ResourceStatus>();
  const deciding = served === undefined ? (state.closed?.key ?? '') : objectKey(served);
  for (const one of state.gateways) {
    const status =
      one === served ? gatewayStatus(one.generation, findings) : olderGatewayStatus(one.generation, deciding);
    gatewayStatuses.set(objectKey(one), status);
  }
  return {
    inputs,
    gateway,
    secrets: kept(findings.secrets, before?.secrets),
    certificates: kept(findings.certificates, before?.certificates),
    references: kept(findings.references, before?.references),
    warnings: kept(findings.warnings, before?.warnings),
    gatewayStatuses: kept(gatewayStatuses, before?.gatewayStatuses),
  };
}

/** Where a gateway is by default, and nobody may call: there is no mode, so that every request is answered 503. */
function closedGatewayMessage(options: PlanOptions): Gateway {
  const authentication = create(AuthenticationSchema, { mode: AuthenticationMode.AUTHENTICATION_MODE_UNSPECIFIED });
  return { ...gatewayMessage(DEFAULT_GATEWAY_SPEC, '', options), authentication };
}

interface Found extends GatewayFindings {
  readonly secrets: ReadonlyMap<string, Secret>;
}

const NOTHING_FOUND: Found = { secrets: new Map(), certificates: [], references: [], warnings: [] };

function findingsOf(
  served: Declared<InferenceGatewaySpec>,
  { state, anybodyMayCall }: Pick<GatewayInputs, 'state' | 'anybodyMayCall'>,
): Found {
  const { secrets: ofListeners, certificates } = listenerCertificates(served, state.secrets);
  const { secrets: others, references } = gatewayReferences(served, state.secrets);
  const secrets = new Map(ofListeners);
  for (const [name, secret] of others) {
    const known = secrets.get(name);
    secrets.set(name, known === undefined ? secret : create(SecretSchema, { data: { ...known.data, ...secret.data } }));
  }
  const { mode } = served.spec.authentication;
  const warnings: PlanWarning[] = [];
  if (mode !== 'none' && !anybodyMayCall) {
    const message = `nobody may call: authentication is \`${mode}\`, and there is no Consumer that is served`;
    const path = ['spec', 'authentication', 'mode'];
    warnings.push({ kind: 'InferenceGateway', resource: objectKey(served), reason: 'NobodyMayCall', path, message });
  }
  return { secrets, certificates, references, warnings };
}

function sameInputs(now: GatewayInputs, before: GatewayInputs): boolean {
  return (
    now.state.secrets === before.state.secrets &&
    now.state.closed === before.state.closed &&
    now.options.standalone === before.options.standalone &&
    now.anybodyMayCall === before.anybodyMayCall &&
    now.state.gateways.length === before.state.gateways.length &&
    now.state.gateways.every((one, index) => one === before.state.gateways[index])
  );
}

/** The value, as the object that it was before if it says the same. */
function kept<Value>(now: Value, before: Value | undefined): Value {
  return before !== undefined && isDeepStrictEqual(now, before) ? before : now;
}
