import { DEFAULT_GATEWAY_SPEC } from '../../crds/inference-gateway.ts';
import { type ModelDeploymentSpec, modelId } from '../../crds/model-deployment.ts';
import type { Consumer, EndpointGroup, Gateway, Model, Secret } from '../../proto/gen/fairlead/v1/table_pb.js';
import type { ClusterState, Declared } from '../source/cluster-state.ts';
import type { Surroundings } from './backend-endpoints.ts';
import type { PlanOptions } from './gateway-message.ts';
import type { GatewayReference } from './gateway-references.ts';
import type { ListenerCertificate } from './listener-certificates.ts';
import { type Claim, type Claimant, sameClaim, settleNames } from './name-claims.ts';
import { type ConsumerChange, ConsumerMemory, planConsumers } from './plan-consumers.ts';
import { type PlannedGateway, planGateway, servedGateway } from './planned-gateway.ts';
import { isStillTrue, type PlannedModel, planModel } from './planned-model.ts';
import { PodIndex } from './pod-index.ts';
import type { ModelStatus, ResourceStatus } from './resource-status.ts';
import type { PlanWarning } from './warnings.ts';

/** What the agents should do, and what users are told. What did not change since the plan before is the same object. */
export interface Plan {
  readonly gateway: Gateway;
  /** By resource name, "<namespace>/<name>". */
  readonly models: ReadonlyMap<string, Model>;
  /** By resource name, "<namespace>/<name>/<backend>". */
  readonly endpoints: ReadonlyMap<string, EndpointGroup>;
  /** By resource name, "<namespace>/<name>". */
  readonly consumers: ReadonlyMap<string, Consumer>;
  /** By resource name, "<namespace>/<name>": those that are used and usable. */
  readonly secrets: ReadonlyMap<string, Secret>;
  /** Of every listener with TLS, in their order. */
  readonly certificates: readonly ListenerCertificate[];
  /** Of all other Secrets that the gateway refers to. */
  readonly references: readonly GatewayReference[];
  /** Of every ModelDeployment, served or not, by "<namespace>/<name>". */
  readonly statuses: ReadonlyMap<string, ModelStatus>;
  /** Of every InferenceGateway, by "<namespace>/<name>". */
  readonly gatewayStatuses: ReadonlyMap<string, ResourceStatus>;
  /** Of every Consumer, served or not, by "<namespace>/<name>". */
  readonly consumerStatuses: ReadonlyMap<string, ResourceStatus>;
  /** In the order of the resources' names. */
  readonly warnings: readonly PlanWarning[];
  /** How this plan was made, for the next one. */
  readonly memory: PlanMemory;
}

/** What the next plan can use again. Changes with each plan that is made from it, so that it serves the latest only. */
class PlanMemory {
  /** The plan that this is the memory of; undefined while the next is being made. */
  owner: Plan | undefined;
  state: ClusterState | undefined;
  gateway: PlannedGateway | undefined;
  claims: ReadonlyMap<string, Claim> = new Map();
  readonly pods = new PodIndex();
  readonly planned = new Map<string, PlannedModel>();
  readonly consumers = new ConsumerMemory();
}

/**
 * Makes the plan for a state. What comes out depends on `state` and `options` only; `previous` lends its objects for
 * all that stays the same, so that one changed pod costs one model. An older plan than the latest lends nothing.
 */
export function plan(state: ClusterState, options: PlanOptions, previous?: Plan): Plan {
  const last = previous !== undefined && previous.memory.owner === previous ? previous : undefined;
  const memory = last?.memory ?? new PlanMemory();
  memory.owner = undefined;
  const around = { pods: memory.pods, touched: memory.pods.update(state.pods), hosts: state.hosts };
  const claims = settleClaims(state, memory);
  const changes = planModels(state, around, claims, memory);
  const served = servedGateway(state);
  const spec = served?.spec ?? (state.closed === undefined ? DEFAULT_GATEWAY_SPEC : undefined);
  const consumerChanges = planConsumers(state, spec, options, memory.consumers);
  const consumers = patched(
    last?.consumers,
    consumerChanges.map(({ key, to }) => [key, to?.consumer] as const),
  );
  const found = planGateway({ state, served, options, anybodyMayCall: consumers.size > 0 }, memory.gateway);
  const { gateway, secrets, certificates, references, gatewayStatuses } = found;
  const planned: Plan = {
    ...{ gateway, secrets, certificates, references, gatewayStatuses, consumers },
    models: patched(last?.models, modelChanges(changes)),
    endpoints: patched(last?.endpoints, endpointChanges(changes)),
    statuses: patched(last?.statuses, statusChanges(changes)),
    consumerStatuses: patched(
      last?.consumerStatuses,
      consumerChanges.map(({ key, to }) => [key, to?.status] as const),
    ),
    warnings: collectWarnings([...changes, ...consumerChanges], found, memory, last?.warnings),
    memory,
  };
  Object.assign(memory, { owner: planned, state, gateway: found, claims });
  return planned;
}

/** A resource as it was planned before and is now; undefined where it was not, or is no more. */
interface Change {
  readonly key: string;
  readonly from: PlannedModel | undefined;
  readonly to: PlannedModel | undefined;
}

/** Brings `memory.planned` up to date, and tells what that changed. */
function planModels(
  state: ClusterState,
  around: Surroundings,
  claims: ReadonlyMap<string, Claim>,
  memory: PlanMemory,
): Change[] {
  const { planned } = memory;
  const changes: Change[] = [];
  const sameResources = memory.state?.modelDeployments === state.modelDeployments;
  for (const [key, declared] of state.modelDeployments) {
    const from = planned.get(key);
    const claim = sameResources && from !== undefined ? from.claim : claims.get(key);
    if (claim === undefined) throw new Error(`no claim was settled for ${key}`);
    if (from !== undefined && isStillTrue(from, declared, claim, around)) continue;
    const to = planModel(key, declared, claim, around, from);
    planned.set(key, to);
    changes.push({ key, from, to });
  }
  if (sameResources) return changes;
  for (const [key, from] of planned) {
    if (state.modelDeployments.has(key)) continue;
    planned.delete(key);
    changes.push({ key, from, to: undefined });
  }
  return changes;
}

function settleClaims(state: ClusterState, before: PlanMemory): ReadonlyMap<string, Claim> {
  if (before.state !== undefined && sameClaims(state, before.state)) return before.claims;
  const claims = settleNames([...state.modelDeployments].map(([key, declared]) => claimant(key, declared)));
  // What was settled as before stays the object that it was, so that the models need not be made again.
  return new Map([...claims].map(([key, claim]) => [key, sameOutcome(claim, before.claims.get(key)) ?? claim]));
}

function sameClaims(state: ClusterState, before: ClusterState): boolean {
  const now = state.modelDeployments;
  if (now === before.modelDeployments) return true;
  if (now.size !== before.modelDeployments.size) return false;
  for (const [key, declared] of now) {
    const old = before.modelDeployments.get(key);
    if (old === undefined) return false;
    if (old !== declared && !sameClaim(claimant(key, declared), claimant(key, old))) return false;
  }
  return true;
}

function claimant(key: string, { name, spec, createdAtMs }: Declared<ModelDeploymentSpec>): Claimant {
  const { aliases, version, default: isDefault } = spec;
  return { key, id: modelId(name, spec), aliases, version, isDefault, createdAtMs };
}

function sameOutcome(claim: Claim, before: Claim | undefined): Claim | undefined {
  if (claim.names === undefined || before?.names === undefined) return undefined;
  const same = claim.names.length === before.names.length && claim.names.every((name, i) => name === before.names[i]);
  return same ? before : undefined;
}

function modelChanges(changes: readonly Change[]) {
  return changes.map(({ key, to }) => [key, to?.model] as const);
}

function* endpointChanges(changes: readonly Change[]): Generator<readonly [string, EndpointGroup | undefined]> {
  for (const { key, from, to } of changes) {
    for (const { spec } of from?.backends ?? []) yield [`${key}/${spec.name}`, undefined];
    for (const { spec, found } of to?.backends ?? []) yield [`${key}/${spec.name}`, found.group];
  }
}

function statusChanges(changes: readonly Change[]) {
  return changes.map(({ key, to }) => [key, to?.status] as const);
}

/** The map with some values set and others (undefined) removed; the same object when that changes nothing. */
function patched<Value>(
  map: ReadonlyMap<string, Value> | undefined,
  changes: Iterable<readonly [string, Value | undefined]>,
): ReadonlyMap<string, Value> {
  const last = new Map(changes);
  let copy: Map<string, Value> | undefined;
  for (const [key, value] of last) {
    if (map?.get(key) === value) continue;
    copy ??= new Map(map);
    if (value === undefined) copy.delete(key);
    else copy.set(key, value);
  }
  return copy ?? map ?? new Map();
}

function collectWarnings(
  changes: readonly (Change | ConsumerChange)[],
  gateway: PlannedGateway,
  memory: PlanMemory,
  before: readonly PlanWarning[] | undefined,
): readonly PlanWarning[] {
  const same =
    gateway.warnings === memory.gateway?.warnings && changes.every(({ from, to }) => from?.warnings === to?.warnings);
  if (same && before !== undefined) return before;
  const warnings: PlanWarning[] = [...gateway.warnings];
  for (const { warnings: own } of memory.consumers.planned.values()) warnings.push(...own);
  for (const { warnings: own } of memory.planned.values()) warnings.push(...own);
  return warnings.sort(byResource);
}

function byResource(one: PlanWarning, other: PlanWarning): number {
  if (one.resource !== other.resource) return one.resource < other.resource ? -1 : 1;
  return one.kind === other.kind ? 0 : one.kind < other.kind ? -1 : 1;
}
