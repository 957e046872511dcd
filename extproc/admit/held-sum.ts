import { type Count, MAX_COUNTED } from './count.ts';

/** What is used until it is given back: nobody knows when that will be. */
export class HeldSum implements Count {
  #sum = 0;

  used(): number {
    return this.#sum;
  }

  add(amount: number): void {
    this.#sum = Math.min(this.#sum + amount, MAX_COUNTED);
  }

  giveBack(amount: number): void {
    this.#sum = Math.max(0, this.#sum - amount);
  }

  waitMs(): undefined {
    return undefined;
  }

  resetMs(): number {
    return 0;
  }

  isIdle(): boolean {
    return this.#sum === 0;
  }
}
