import type { Moment } from './count.ts';

/**
 * The time of a store, from a wall clock that may be set back: its steady clock then goes on from where it was, so that
 * nothing waits for a moment to come again.
 */
export class StoreClock implements Moment {
  wallMs: number;
  steadyMs: number;
  readonly #nowMs: () => number;

  /** `nowMs`: milliseconds since the epoch. */
  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
    this.wallMs = Math.floor(nowMs());
    this.steadyMs = this.wallMs;
  }

  /** The moment it is, until the next call: one object, for the sake of the hot path. */
  read(): Moment {
    const wallMs = Math.floor(this.#nowMs());
    if (wallMs > this.wallMs) this.steadyMs += wallMs - this.wallMs;
    this.wallMs = wallMs;
    return this;
  }

  /** Goes on from an earlier moment of another clock, by as much as the wall clock went on since. */
  resume(earlier: Moment): void {
    this.wallMs = earlier.wallMs;
    this.steadyMs = earlier.steadyMs;
    this.read();
  }
}
