import { type Count, MAX_COUNTED, type Moment } from './count.ts';

/** How long a sum is kept after its end: a clock that is set back by less finds it again. */
const KEPT_AFTER_END_MS = 60_000;

/** One sum until a date, from which on nothing of it is used. */
export class CalendarSum implements Count {
  readonly endMs: number;
  #sum: number;

  constructor(endMs: number, sum = 0) {
    this.endMs = endMs;
    this.#sum = sum;
  }

  used(now: Moment): number {
    return now.wallMs < this.endMs ? this.#sum : 0;
  }

  add(amount: number): void {
    this.#sum = Math.min(this.#sum + amount, MAX_COUNTED);
  }

  giveBack(amount: number): void {
    this.#sum = Math.max(0, this.#sum - amount);
  }

  waitMs(_amount: number, _limit: number, now: Moment): number {
    return this.endMs - now.wallMs;
  }

  resetMs(now: Moment): number {
    return this.used(now) === 0 ? 0 : this.endMs - now.wallMs;
  }

  isIdle(now: Moment): boolean {
    return this.#sum === 0 || now.wallMs >= this.endMs + KEPT_AFTER_END_MS;
  }
}
