import { type Count, MAX_COUNTED, type Moment } from './count.ts';

/** How long a sum is kept after its end, for those by whose clock the period is not over, see limit-store.ts. */
const KEPT_AFTER_END_MS = 3_600_000;

/** One sum until a date. */
export class CalendarSum implements Count {
  readonly endMs: number;
  #sum: number;

  constructor(endMs: number, sum = 0) {
    this.endMs = endMs;
    this.#sum = sum;
  }

  used(now: Moment): number {
    return now.wallMs < this.endMs + KEPT_AFTER_END_MS ? this.#sum : 0;
  }

  add(amount: number): void {
    this.#sum = Math.min(this.#sum + amount, MAX_COUNTED);
  }

  giveBack(amount: number): void {
    this.#sum = Math.max(0, this.#sum - amount);
  }

  waitMs(_amount: number, _limit: number, now: Moment): number {
    return Math.max(0, this.endMs - now.wallMs);
  }

  resetMs(now: Moment): number {
    return this.used(now) === 0 ? 0 : Math.max(0, this.endMs - now.wallMs);
  }

  isIdle(now: Moment): boolean {
    return this.#sum === 0 || now.wallMs >= this.endMs + KEPT_AFTER_END_MS;
  }
}
