/** A clock that only runs forward, and alarms by it. */
export interface Clock {
  /** Milliseconds since some moment. */
  nowMs(): number;
  /** Calls once, `delayMs` from now; returns what calls it off. */
  after(delayMs: number, call: () => void): () => void;
}

export const SYSTEM_CLOCK: Clock = {
  nowMs: () => performance.now(),
  after: (delayMs, call) => {
    const timer = setTimeout(call, delayMs);
    return () => clearTimeout(timer);
  },
};
