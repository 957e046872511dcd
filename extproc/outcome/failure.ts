import type { AttemptFailure } from '../endpoint-load/ejection.ts';
import type { AccessRecord } from './access-record.ts';

// What the logs of Envoy 1.40.0 say of each way to fail; `envoy-records.json` has the records that it wrote.

const TIMEOUT_FLAGS = ['UT', 'SI', 'UMSDR', 'DT'];
const RESET_FLAGS = ['UC', 'UR', 'UPE', 'LR'];
const CLIENT_GONE_FLAGS = ['DC', 'DR'];
/** Statuses that Envoy tries again elsewhere: `retriable_status_codes` of the routes (envoy.md, Plan 6). */
const RETRIED_STATUSES = [429, 503];
/** Ends that no attempt record tells of: the timers of the whole exchange. */
const WHOLE_EXCHANGE_TIMEOUTS = ['response_timeout', 'stream_idle_timeout'];

/**
 * What a record of a failed attempt says against its endpoint; undefined when nothing does. A 4xx is the caller's
 * doing, 429 included; a client that went away, and silence after the answer began, which may be a client that does not
 * read, say nothing of the endpoint.
 */
export function attemptFailure({ status, flags }: AccessRecord): AttemptFailure | undefined {
  if (has(flags, CLIENT_GONE_FLAGS)) return undefined;
  if (status >= 500) return 'status';
  if (has(flags, RESET_FLAGS)) return 'reset';
  if (status > 0) return undefined;
  if (flags.has('UF')) return 'connect';
  return has(flags, TIMEOUT_FLAGS) ? 'timeout' : undefined;
}

/** Whether Envoy goes on to the next candidate after this failed attempt, if there is one. */
export function isRetried(record: AccessRecord): boolean {
  if (record.status > 0) return RETRIED_STATUSES.includes(record.status);
  return attemptFailure(record) !== undefined;
}

/** What the record of a whole exchange says against its last endpoint that no record of an attempt says. */
export function exchangeFailure({ details, firstByteMs, upstream }: AccessRecord): AttemptFailure | undefined {
  const unanswered = upstream !== '' && firstByteMs === undefined;
  return unanswered && WHOLE_EXCHANGE_TIMEOUTS.includes(details) ? 'timeout' : undefined;
}

/** Whether the last endpoint of an exchange answered as it should: anything below 500, as far as the client wanted it. */
export function isAnswered({ details, flags, status, upstream }: AccessRecord): boolean {
  if (upstream === '' || status === 0 || status >= 500) return false;
  return details === 'via_upstream' || has(flags, CLIENT_GONE_FLAGS);
}

/** Whether the client went away before any answer, from a request that an endpoint had. */
export function isAbandoned({ flags, status, upstream }: AccessRecord): boolean {
  return upstream !== '' && status === 0 && has(flags, CLIENT_GONE_FLAGS);
}

function has(flags: ReadonlySet<string>, any: readonly string[]): boolean {
  return any.some(flag => flags.has(flag));
}
