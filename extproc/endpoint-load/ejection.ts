/** How an attempt failed. `status` is a 5xx answer; a 4xx is the caller's doing and never counted. */
export type AttemptFailure = 'connect' | 'reset' | 'timeout' | 'status';

/** `closed`: in use. `ejected`: avoided until a time. `half-open`: one request at a time until one succeeds. */
export type EjectionPhase = 'closed' | 'ejected' | 'half-open';

/** What is held against one endpoint. A value: every event makes a new one. */
export interface EjectionState {
  /** Failures since the last success, while closed. */
  readonly consecutiveFailures: number;
  /** Ejections since the last success; 0 while closed. */
  readonly ejections: number;
  /** When probing may begin; 0 while closed. */
  readonly ejectedUntilMs: number;
  /** The trial request since this ejection: not made yet, on its way, or over with its outcome still unknown. */
  readonly probe: 'none' | 'out' | 'over';
  /** Why it was ejected, or the latest failure; undefined after a success. */
  readonly lastFailure: AttemptFailure | undefined;
}

/**
 * Low, because every failure costs a request its retry; above one, because a single reset says little.
 * Envoy's own outlier detection, which judges worse (it does not see who was picked), takes 5.
 */
export const FAILURES_TO_EJECT = 3;
/** First ejection. A process that restarts in place is back within it; a pod that is gone leaves the table anyway. */
export const BASE_EJECTION_MS = 5_000;
/** Each further ejection doubles the time, up to this: one failed attempt a minute is what a dead endpoint costs. */
export const MAX_EJECTION_MS = 60_000;

/** Nothing held against it: the one state of all endpoints that work. */
export const CLOSED: EjectionState = Object.freeze({
  consecutiveFailures: 0,
  ejections: 0,
  ejectedUntilMs: 0,
  probe: 'none',
  lastFailure: undefined,
});

export function ejectionPhase(state: EjectionState, nowMs: number): EjectionPhase {
  if (state.ejections === 0) return 'closed';
  return nowMs < state.ejectedUntilMs ? 'ejected' : 'half-open';
}

/** Whether a request may be sent there now. */
export function admitsRequest(state: EjectionState, nowMs: number): boolean {
  if (state.ejections === 0) return true;
  return nowMs >= state.ejectedUntilMs && state.probe !== 'out';
}

/**
 * A failed attempt.
 *
 * Requests that were on their way when the endpoint was ejected fail one after the other; they must not lengthen the
 * ejection. So a failure counts for nothing while it lasts, nor afterwards until a probe was sent. From then on a late
 * failure cannot be told from the probe's and is believed: that costs one more ejection, of bounded time.
 */
export function afterFailure(state: EjectionState, failure: AttemptFailure, nowMs: number): EjectionState {
  const phase = ejectionPhase(state, nowMs);
  if (phase === 'ejected' || (phase === 'half-open' && state.probe === 'none')) return state;
  const consecutiveFailures = state.consecutiveFailures + 1;
  if (phase === 'closed' && consecutiveFailures < FAILURES_TO_EJECT) {
    return { ...CLOSED, consecutiveFailures, lastFailure: failure };
  }
  const lengthMs = Math.min(BASE_EJECTION_MS * 2 ** state.ejections, MAX_EJECTION_MS);
  return {
    consecutiveFailures,
    ejections: state.ejections + 1,
    ejectedUntilMs: nowMs + lengthMs,
    probe: 'none',
    lastFailure: failure,
  };
}

/**
 * An attempt was answered. While ejected, that can be an old stream that ends well on an endpoint that refuses all new
 * requests, or a request that went there for want of any other: either way probing may begin at once.
 */
export function afterSuccess(state: EjectionState, nowMs: number): EjectionState {
  return ejectionPhase(state, nowMs) === 'ejected' ? { ...state, ejectedUntilMs: nowMs } : CLOSED;
}

/** A request is sent to a half-open endpoint. Precondition: half-open, no probe out. */
export function afterProbeSent(state: EjectionState): EjectionState {
  return { ...state, probe: 'out' };
}

/** The probe ended, or was moved elsewhere: the next may go, unless its outcome, when it is known, says otherwise. */
export function afterProbeEnded(state: EjectionState): EjectionState {
  return state.probe === 'out' ? { ...state, probe: 'over' } : state;
}
