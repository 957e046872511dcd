import { isDeepStrictEqual } from 'node:util';
import { type ConsumerSpec, userPath } from '../../crds/consumer.ts';
import { spellPath } from '../../crds/field-problem.ts';
import type { ApiKeys } from './api-keys.ts';
import type { BackendEndpoints } from './backend-endpoints.ts';
import type { ConsumerConflict } from './consumer-claims.ts';
import type { GatewayReference } from './gateway-references.ts';
import type { ListenerCertificate } from './listener-certificates.ts';
import type { NameConflict } from './name-claims.ts';
import type { PlanWarning } from './warnings.ts';

/** Of those that there are, what a message has room for. */
const MAX_WARNINGS = 5;

/** One condition of a resource, in Gateway API's words; the message says what to do. */
export interface Condition {
  readonly type: 'Accepted' | 'BackendsResolved' | 'ResolvedRefs' | 'Programmed' | 'Ready';
  readonly status: 'True' | 'False' | 'Unknown';
  /** One CamelCase word for programs. */
  readonly reason: string;
  readonly message: string;
}

/** The reason of whatever a resource lacks because it is not accepted. */
export const NOT_ACCEPTED = 'NotAccepted';

/** What users are told about a resource, as far as the plan knows: not whether gateways follow. */
export interface ResourceStatus {
  /** The generation of the resource that this is about. */
  readonly observedGeneration: number;
  readonly conditions: readonly Condition[];
}

/** What users are told about a ModelDeployment. */
export interface ModelStatus extends ResourceStatus {
  /** The id that clients ask for. */
  readonly model: string;
  /** Those that take new requests, of those that should. */
  readonly endpoints: { readonly ready: number; readonly total: number };
}

/**
 * The status of a model that is in the table, by what was found for each of its backends, and what is suspicious about
 * it; `before` if that says the same.
 */
export function servedStatus(
  observedGeneration: number,
  model: string,
  backends: readonly { readonly name: string; readonly found: BackendEndpoints }[],
  warnings: readonly PlanWarning[],
  before: ModelStatus | undefined,
): ModelStatus {
  const endpoints = { ready: 0, total: 0 };
  for (const { found } of backends) {
    endpoints.ready += found.ready;
    endpoints.total += found.total;
  }
  const lacking = backends.filter(({ found }) => found.lacking !== undefined);
  const why = lacking.map(({ name, found }) => `backend ${name}: ${found.lacking}`).join('; ');
  const conditions: Condition[] = [
    { type: 'Accepted', status: 'True', reason: 'Accepted', message: '' },
    lacking.length === 0
      ? { type: 'BackendsResolved', status: 'True', reason: 'Resolved', message: describeWarnings(warnings) }
      : { type: 'BackendsResolved', status: 'False', reason: 'NoEndpoints', message: why },
    endpoints.ready > 0
      ? { type: 'Ready', status: 'True', reason: 'Ready', message: `${endpoints.ready}/${endpoints.total} endpoints` }
      : { type: 'Ready', status: 'False', reason: 'NoEndpoints', message: why },
  ];
  const status: ModelStatus = { observedGeneration, model, conditions, endpoints };
  return before !== undefined && isDeepStrictEqual(before, status) ? before : status;
}

/** The status of a model that lost its names to an older one. */
export function conflictStatus(observedGeneration: number, model: string, conflict: NameConflict): ModelStatus {
  const message = describeConflict(model, conflict);
  const conditions: Condition[] = [
    { type: 'Accepted', status: 'False', reason: 'NameConflict', message },
    { type: 'BackendsResolved', status: 'Unknown', reason: NOT_ACCEPTED, message: '' },
    { type: 'Ready', status: 'False', reason: NOT_ACCEPTED, message: 'not served: see Accepted' },
  ];
  return { observedGeneration, model, conditions, endpoints: { ready: 0, total: 0 } };
}

/** What a served gateway has found. */
export interface GatewayFindings {
  readonly certificates: readonly ListenerCertificate[];
  readonly references: readonly GatewayReference[];
  readonly warnings: readonly PlanWarning[];
}

/** The status of the gateway that is served. */
export function gatewayStatus(observedGeneration: number, findings: GatewayFindings): ResourceStatus {
  const { certificates, references, warnings } = findings;
  const accepted: Condition = {
    ...{ type: 'Accepted', status: 'True', reason: 'Accepted' },
    message: describeWarnings(warnings),
  };
  const refers = certificates.length + references.length > 0;
  return { observedGeneration, conditions: [accepted, ...(refers ? [resolvedRefs(certificates, references)] : [])] };
}

/** The status of a gateway that is not served since `older` is. */
export function olderGatewayStatus(observedGeneration: number, older: string): ResourceStatus {
  const message = `one InferenceGateway is served, and ${older} is older: delete one of the two`;
  return {
    observedGeneration,
    conditions: [{ type: 'Accepted', status: 'False', reason: 'GatewayConflict', message }],
  };
}

/** Gateway API's condition of references; only a gateway that refers to Secrets has any. */
function resolvedRefs(
  certificates: readonly ListenerCertificate[],
  references: readonly GatewayReference[],
): Condition {
  const type = 'ResolvedRefs';
  const lacking = certificates.filter(({ problem }) => problem !== undefined);
  const missing = references.flatMap(({ purpose, secret, problem }) =>
    problem === undefined ? [] : `${purpose}: secret ${secret}: ${problem}`,
  );
  if (lacking.length + missing.length === 0) {
    const message = certificates
      .map(
        ({ listener, notAfterMs = 0 }) =>
          `listener ${listener}: certificate until ${new Date(notAfterMs).toISOString()}`,
      )
      .join('; ');
    return { type, status: 'True', reason: 'ResolvedRefs', message };
  }
  const unserved = lacking.map(({ listener, secret, problem }) => `listener ${listener}: secret ${secret}: ${problem}`);
  if (unserved.length > 0) {
    unserved.push('gateways go on with the certificate that they had before, and do not open the port without one');
  }
  if (missing.length > 0) missing.push('what needs it fails until the Secret holds it');
  const reason = lacking.length > 0 ? 'InvalidCertificateRef' : 'InvalidSecretRef';
  return { type, status: 'False', reason, message: [...unserved, ...missing].join('; ') };
}

/**
 * The status of a Consumer.
 *
 * @param refused why it is not served; undefined for one that is
 */
export function consumerStatus(
  spec: ConsumerSpec,
  observedGeneration: number,
  refused: ConsumerConflict | 'BudgetNeedsStore' | undefined,
  keys: ApiKeys,
  warnings: readonly PlanWarning[],
): ResourceStatus {
  const conditions: Condition[] = [consumerAccepted(spec, refused, warnings)];
  if (keys.contents.length > 0) conditions.push(resolvedKeys(keys));
  return { observedGeneration, conditions };
}

function consumerAccepted(
  spec: ConsumerSpec,
  refused: ConsumerConflict | 'BudgetNeedsStore' | undefined,
  warnings: readonly PlanWarning[],
): Condition {
  const type = 'Accepted';
  if (refused === undefined) {
    return { type, status: 'True', reason: 'Accepted', message: describeWarnings(warnings) };
  }
  if (refused === 'BudgetNeedsStore') {
    const message =
      'a budget needs a limit store that outlives the gateways: give the InferenceGateway `limits.store: valkey`, or leave `budget` out';
    return { type, status: 'False', reason: refused, message };
  }
  const reason = refused.over === 'key' ? 'KeyConflict' : 'NameConflict';
  return { type, status: 'False', reason, message: describeConsumerConflict(spec, refused) };
}

function describeConsumerConflict(spec: ConsumerSpec, { over, index, holder }: ConsumerConflict): string {
  const owner = `${holder.key} since ${new Date(holder.createdAtMs).toISOString()}`;
  if (over === 'key') return `spec.apiKeys[${index}] is a key of ${owner}: give each Consumer keys of its own`;
  if (over === 'token') return `spec.jwt[${index}] asks for the same tokens as ${owner}: tell the two apart by claims`;
  return `${spellPath(userPath(spec, index))} is a name of ${owner}: take it out of one of the two`;
}

function resolvedKeys({ lacking }: ApiKeys): Condition {
  if (lacking.length === 0) return { type: 'ResolvedRefs', status: 'True', reason: 'ResolvedRefs', message: '' };
  const why = lacking.map(({ index, secret, problem }) => `spec.apiKeys[${index}]: secret ${secret}: ${problem}`);
  const message = `${why.join('; ')}; nobody gets in by ${lacking.length === 1 ? 'this key' : 'these keys'} until then`;
  return { type: 'ResolvedRefs', status: 'False', reason: 'InvalidSecretRef', message };
}

function describeWarnings(warnings: readonly PlanWarning[]): string {
  const words = warnings.slice(0, MAX_WARNINGS).map(({ path, message }) => `${spellPath(path)}: ${message}`);
  if (warnings.length > MAX_WARNINGS) words.push(`and ${warnings.length - MAX_WARNINGS} more`);
  return words.join('; ');
}

function describeConflict(id: string, { over, name, holder }: NameConflict): string {
  const since = `${holder.key} since ${new Date(holder.createdAtMs).toISOString()}`;
  if (over === 'default') return `${since} is the default of id "${name}": only one may have default: true`;
  if (over === 'name') return `${name === id ? 'id' : 'alias'} "${name}" is taken by ${since}`;
  return holder.version === undefined
    ? `id "${name}" is taken by ${since}: versions of one model each need their own spec.version`
    : `version ${holder.version} of id "${name}" is taken by ${since}`;
}
