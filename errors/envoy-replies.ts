import { ERRORS, type ErrorCode } from './codes.ts';

/**
 * Envoy's short names of response flags, as access logs and `response_flag_filter` have them:
 * https://www.envoyproxy.io/docs/envoy/v1.40.0/configuration/observability/access_log/usage
 */
type ResponseFlag =
  | 'DC' // downstream connection termination
  | 'DPE' // downstream protocol error
  | 'DR' // downstream remote reset
  | 'DT' // maximum duration of the exchange
  | 'LR' // local reset
  | 'NC' // no cluster found
  | 'NR' // no route found
  | 'OM' // overload manager
  | 'SI' // stream idle timeout
  | 'UC' // upstream connection termination
  | 'UF' // upstream connection failure
  | 'UH' // no healthy upstream
  | 'UMSDR' // maximum stream duration of the upstream
  | 'UO' // upstream overflow: a circuit breaker
  | 'UPE' // upstream protocol error
  | 'UR' // upstream remote reset
  | 'URX' // upstream retry limit exceeded
  | 'UT'; // upstream request timeout

/** By what a reply that Envoy makes itself is told; all of what is given must fit. */
interface ReplySign {
  /** Beginnings of `response_code_details`, any of which fits. */
  readonly details?: readonly string[];
  /** Flags, any of which fits. */
  readonly flags?: readonly ResponseFlag[];
  /** A range of statuses, both ends included. */
  readonly status?: readonly [from: number, to: number];
}

/** One row of the table. */
export interface EnvoyReply {
  readonly sign: ReplySign;
  readonly code: ErrorCode;
}

/** Details of an answer that extproc made, `fairlead_<code>`, and of the fixed answers of routes: their bodies stay. */
export const OWN_DETAILS_PREFIX = 'fairlead_';
export const FIXED_ANSWER_DETAILS = 'direct_response';

/**
 * Which error of ours a reply of Envoy's own is, most exact sign first; the first that fits counts. Details come
 * before flags and flags before statuses, because Envoy gives one status to many causes and several flags to one:
 * an attempt that timed out last carries URX and UT (envoy-failover.md C).
 */
export const ENVOY_REPLIES: readonly EnvoyReply[] = [
  // The admitted mark is missing, or ext_proc failed in a way that failure_mode_allow does not cover; or the gateway
  // drains, which it tells whoever asks whether it is ready, and nobody else.
  {
    sign: { details: ['rbac_access_denied', 'ext_proc_error', 'spurious_message', 'health_check_failed'] },
    code: 'gateway_unavailable',
  },
  // The token filter's, whatever the status: a wrong audience is 403 to it. Whether a token is good that nobody could
  // check, nobody knows: the fault is the gateway's, and goes by.
  { sign: { details: ['jwt_authn_access_denied{Jwks_remote_fetch_is_failed'] }, code: 'gateway_unavailable' },
  { sign: { details: ['jwt_authn_access_denied{Jwt_is_expired'] }, code: 'expired_token' },
  { sign: { details: ['jwt_authn'] }, code: 'invalid_token' },
  { sign: { details: ['upgrade_failed'] }, code: 'upgrade_not_allowed' },
  { sign: { details: ['overload'] }, code: 'overloaded' },
  // Per-try timeout and per-try idle timeout. Of an answer that has begun, the record still has the pod's status.
  { sign: { details: ['upstream_per_try'], status: [500, 599] }, code: 'upstream_headers_timeout' },
  {
    sign: { details: ['upstream_reset_before_response_started{connection_timeout'] },
    code: 'upstream_connect_timeout',
  },
  // Before the flags: an upload that stalls is 408 with the idle flag, a client that has sent all gets 504.
  { sign: { status: [408, 408] }, code: 'request_timeout' },
  { sign: { status: [413, 413] }, code: 'request_too_large' },
  { sign: { status: [426, 426] }, code: 'upgrade_required' },
  { sign: { status: [431, 431] }, code: 'headers_too_large' },
  { sign: { flags: ['UT', 'SI', 'DT', 'UMSDR'] }, code: 'upstream_timeout' },
  { sign: { flags: ['UO', 'OM'] }, code: 'overloaded' },
  { sign: { flags: ['UF', 'UH', 'NC'] }, code: 'no_ready_endpoints' },
  { sign: { flags: ['UC', 'UR', 'LR'] }, code: 'upstream_reset' },
  { sign: { flags: ['UPE'] }, code: 'upstream_error' },
  { sign: { flags: ['NR'] }, code: 'route_not_found' },
  { sign: { status: [400, 499] }, code: 'bad_request' },
  // Envoy answers 501 to it.
  { sign: { details: ['http1.invalid_transfer_encoding'] }, code: 'bad_request' },
  { sign: { status: [502, 502] }, code: 'upstream_error' },
];

/** What a reply is that nothing in the table tells. */
export const UNTOLD_REPLY: ErrorCode = 'internal_error';

/** The answer came whole, whatever happened before: a 503 of the last pod tried still has the flag URX. */
const ANSWERED_DETAILS = ['via_upstream', FIXED_ANSWER_DETAILS];
/** The endpoint was lost in the middle of its answer: UC, UR, or UPE where the answer had no length. */
const CUT_DETAILS = 'upstream_reset_after_response_started';
const CLIENT_GONE_DETAILS = ['downstream_remote_disconnect', 'downstream_local_disconnect'];

/**
 * Our name for how an exchange ended, from its access record; undefined when the upstream or a fixed answer ended it,
 * whatever the status. Also tells failures after the status was sent, which no client can be told by a body.
 *
 * @param details Envoy's `response_code_details`
 * @param flags Envoy's response flags, short names
 * @param status what the client got; 0 for nothing
 */
export function codeOf(details: string, flags: ReadonlySet<string>, status: number): ErrorCode | undefined {
  if (details.startsWith(OWN_DETAILS_PREFIX)) return ownCode(details.slice(OWN_DETAILS_PREFIX.length));
  if (CLIENT_GONE_DETAILS.some(prefix => details.startsWith(prefix))) return 'client_closed_request';
  if (flags.has('DC') || flags.has('DR')) return 'client_closed_request';
  if (ANSWERED_DETAILS.includes(details) || (flags.size === 0 && status < 400)) return undefined;
  if (details.startsWith(CUT_DETAILS)) return 'upstream_reset';
  return ENVOY_REPLIES.find(({ sign }) => fits(sign, details, flags, status))?.code ?? UNTOLD_REPLY;
}

function ownCode(name: string): ErrorCode {
  return Object.hasOwn(ERRORS, name) ? (name as ErrorCode) : UNTOLD_REPLY;
}

function fits(sign: ReplySign, details: string, flags: ReadonlySet<string>, status: number): boolean {
  if (sign.details && !sign.details.some(prefix => details.startsWith(prefix))) return false;
  if (sign.flags && !sign.flags.some(flag => flags.has(flag))) return false;
  return !sign.status || (status >= sign.status[0] && status <= sign.status[1]);
}
