import { type Count, MAX_COUNTED, type Moment } from './count.ts';

/** A period is counted in so many buckets; the current one counts besides. */
const BUCKETS_PER_PERIOD = 60;

/**
 * The amounts of a period that slides. Only buckets that hold something take memory: most counters are those of callers
 * who seldom call.
 */
export class SlidingWindow implements Count {
  readonly periodMs: number;
  /** Pairs of a bucket's number and its amount, ascending, of which those before `#first` have left the window. */
  readonly #pairs: number[];
  #first = 0;
  #sum = 0;

  /** `pairs` as another one's `pairs()` returned them. */
  constructor(periodMs: number, pairs: readonly number[] = []) {
    this.periodMs = periodMs;
    this.#pairs = [...pairs];
    for (let at = 1; at < pairs.length; at += 2) this.#sum += pairs[at] ?? 0;
  }

  /** Pairs of a bucket's number (of the steady clock) and the amount in it, ascending. */
  pairs(): number[] {
    return this.#pairs.slice(this.#first);
  }

  used(now: Moment): number {
    this.#roll(now);
    return this.#sum;
  }

  add(asked: number, now: Moment): void {
    this.#roll(now);
    const amount = Math.min(asked, MAX_COUNTED - this.#sum);
    if (amount <= 0) return;
    const pairs = this.#pairs;
    const bucket = bucketAt(now.steadyMs, this.periodMs);
    const last = pairs.length - 1;
    if (pairs[last - 1] === bucket) pairs[last] = (pairs[last] ?? 0) + amount;
    else pairs.push(bucket, amount);
    this.#sum += amount;
  }

  giveBack(amount: number, takenMs: number, now: Moment): void {
    this.#roll(now);
    const pairs = this.#pairs;
    const bucket = bucketAt(takenMs, this.periodMs);
    let at = pairs.length - 2;
    while (at >= this.#first && pairs[at] !== bucket) at -= 2;
    if (at < this.#first) return;
    const held = pairs[at + 1] ?? 0;
    const given = Math.min(held, amount);
    this.#sum -= given;
    if (given < held) pairs[at + 1] = held - given;
    else pairs.splice(at, 2);
  }

  waitMs(amount: number, limit: number, now: Moment): number {
    let excess = this.used(now) + amount - limit;
    let at = this.#first;
    for (; at < this.#pairs.length; at += 2) {
      excess -= this.#pairs[at + 1] ?? 0;
      if (excess <= 0) break;
    }
    return this.#leavesMs(at) - now.steadyMs;
  }

  resetMs(now: Moment): number {
    return this.used(now) === 0 ? 0 : this.#leavesMs(this.#pairs.length - 2) - now.steadyMs;
  }

  isIdle(now: Moment): boolean {
    return this.used(now) === 0;
  }

  /** When the bucket of the pair at that index leaves the window. */
  #leavesMs(at: number): number {
    const leaving = (this.#pairs[at] ?? 0) + BUCKETS_PER_PERIOD + 1;
    return Math.ceil((leaving * this.periodMs) / BUCKETS_PER_PERIOD);
  }

  /** Leaves behind the buckets that are older than the window. */
  #roll(now: Moment): void {
    const pairs = this.#pairs;
    const oldest = bucketAt(now.steadyMs, this.periodMs) - BUCKETS_PER_PERIOD;
    let first = this.#first;
    while (first < pairs.length && (pairs[first] ?? 0) < oldest) {
      this.#sum -= pairs[first + 1] ?? 0;
      first += 2;
    }
    if (first === this.#first) return;
    // Moved to the front once for as many buckets as a window has, so that a roll costs the same on average.
    if (first === pairs.length || first > 2 * BUCKETS_PER_PERIOD) {
      pairs.copyWithin(0, first);
      pairs.length -= first;
      first = 0;
    }
    this.#first = first;
  }
}

/** The number of the bucket that a moment of the steady clock is in. */
export function bucketAt(steadyMs: number, periodMs: number): number {
  return Math.floor((steadyMs * BUCKETS_PER_PERIOD) / periodMs);
}
