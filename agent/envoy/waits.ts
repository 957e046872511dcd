/** How long a model lets a request take, milliseconds; 0 sets no bound. */
interface ModelTimeouts {
  /** The whole exchange. */
  readonly requestMs: number;
  /** Of one attempt, until response headers. */
  readonly headersMs: number;
  /** Between two bytes of the answer. */
  readonly idleMs: number;
}

/** The same in Envoy's clocks, milliseconds; 0 sets no bound. */
export interface Waits {
  /** Route timeout: from the end of the request to the end of the answer. */
  readonly requestMs: number;
  /** Route idle timeout: the client's stream, through all attempts. */
  readonly streamIdleMs: number;
  /** Per-try timeout: until response headers. */
  readonly attemptMs: number;
  /** Per-try idle timeout: until response headers, and between two bytes after. */
  readonly attemptIdleMs: number;
}

/** By how much a stream may be longer idle than the attempts that it waits for, which end first. */
const SLACK_MS = 1_000;

/**
 * Which of Envoy's clocks bound what. Both of its idle clocks run while response headers are awaited, and the per-try
 * timeout switches the per-try idle timeout off for good when it strikes, even though it is ignored once the answer has
 * begun (seen on 1.40.0). So only one of the two per-try clocks can be used:
 * - headers may take as long as a gap or longer (also the default, 60 s each): the idle clock does both, and a gap
 *   may be as long as the wait for headers;
 * - a gap may be longer: the per-try timeout bounds the headers, and the idle clock of the whole stream the gaps. That
 *   one runs through all attempts, so it must outlast their waits for headers together.
 */
export function waits({ requestMs, headersMs, idleMs }: ModelTimeouts, retryAttempts: number): Waits {
  if (headersMs > 0 && headersMs >= idleMs && idleMs > 0) {
    return { requestMs, streamIdleMs: 0, attemptMs: 0, attemptIdleMs: headersMs };
  }
  const allAttemptsMs = headersMs * (1 + retryAttempts) + SLACK_MS;
  return {
    requestMs,
    streamIdleMs: idleMs > 0 ? Math.max(idleMs, allAttemptsMs) : 0,
    attemptMs: headersMs,
    attemptIdleMs: 0,
  };
}
