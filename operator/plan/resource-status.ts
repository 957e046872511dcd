import { isDeepStrictEqual } from 'node:util';
import { spellPath } from '../../crds/field-problem.ts';
import type { BackendEndpoints } from './backend-endpoints.ts';
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

/** The status of the gateway that is served with these certificates, and of one that is not since `older` is. */
export function gatewayStatus(
  observedGeneration: number,
  older?: string,
  certificates: readonly ListenerCertificate[] = [],
): ResourceStatus {
  const accepted: Condition =
    older === undefined
      ? { type: 'Accepted', status: 'True', reason: 'Accepted', message: '' }
      : {
          type: 'Accepted',
          status: 'False',
          reason: 'GatewayConflict',
          message: `one InferenceGateway is served, and ${older} is older: delete one of the two`,
        };
  const resolved = certificates.length === 0 ? [] : [resolvedRefs(certificates)];
  return { observedGeneration, conditions: [accepted, ...resolved] };
}

/** Gateway API's condition of a listener's references; only a gateway with TLS has any. */
function resolvedRefs(certificates: readonly ListenerCertificate[]): Condition {
  const lacking = certificates.filter(({ problem }) => problem !== undefined);
  if (lacking.length === 0) {
    const message = certificates
      .map(
        ({ listener, notAfterMs = 0 }) =>
          `listener ${listener}: certificate until ${new Date(notAfterMs).toISOString()}`,
      )
      .join('; ');
    return { type: 'ResolvedRefs', status: 'True', reason: 'ResolvedRefs', message };
  }
  const why = lacking.map(({ listener, secret, problem }) => `listener ${listener}: secret ${secret}: ${problem}`);
  const message = `${why.join('; ')}; gateways go on with the certificate that they had before, and do not open the port without one`;
  return { type: 'ResolvedRefs', status: 'False', reason: 'InvalidCertificateRef', message };
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
