/** Nothing counts further: the largest budget, in 10^-9 of its currency, and little below where sums are not exact any more. */
export const MAX_COUNTED = 9_000_000_000_000_000;

/** One moment by two clocks, in whole milliseconds. */
export interface Moment {
  /** Since the epoch; may go back. For what ends at a date. */
  readonly wallMs: number;
  /** Never goes back. For what ends after a while. */
  readonly steadyMs: number;
}

/** What one counter has used, kept by the rule of its window. */
export interface Count {
  used(now: Moment): number;
  /** As far as `MAX_COUNTED`. */
  add(amount: number, now: Moment): void;
  /** Takes back what was added at `takenMs` of the steady clock, as far as it is still counted. */
  giveBack(amount: number, takenMs: number, now: Moment): void;
  /** Until `amount`, which does not pass now and is at most `limit`, would pass. Undefined: nobody knows. */
  waitMs(amount: number, limit: number, now: Moment): number | undefined;
  /** Until nothing of it is used; 0 when nothing is, or nobody knows. */
  resetMs(now: Moment): number;
  /** Whether it may be forgotten. */
  isIdle(now: Moment): boolean;
}
