import { MAX_COUNTED } from './count.ts';
import type { SharedStore } from './guarded-store.ts';
import type { Charge } from './limit-store.ts';

/** Counters of which the sums are kept for the store to come; some 20 MB. */
const MAX_KEPT = 100_000;

/**
 * A shared store that cannot be reached for want of a Secret: as if it were away, until another takes its place, which
 * is then told what was spent.
 */
export class MissingStore implements SharedStore {
  readonly #why: Error;
  /** What counts until a date, by its counter. */
  readonly #kept = new Map<string, Charge>();
  #next: SharedStore | undefined;
  #dropped = 0;

  constructor(why: Error) {
    this.#why = why;
  }

  /** Amounts that no store will ever hear of. */
  get dropped(): number {
    return this.#dropped;
  }

  reserve(): Promise<never> {
    return Promise.reject(this.#why);
  }

  read(): Promise<never> {
    return Promise.reject(this.#why);
  }

  probe(): Promise<never> {
    return Promise.reject(this.#why);
  }

  release(): void {
    // Nothing was reserved.
  }

  settle(): void {
    // Nothing was reserved.
  }

  add(charges: readonly Charge[], ageMs?: number): void {
    if (this.#next !== undefined) return this.#next.add(charges, ageMs);
    for (const charge of charges) {
      if (charge.counter.window.kind === 'calendar') this.#keep(charge);
      else if (charge.counter.window.kind === 'sliding') this.#dropped++;
    }
  }

  /** Hands over what was spent, and whatever is added from now on. Undefined: no other store comes. */
  replaceBy(next: SharedStore | undefined): void {
    this.#next = next;
    if (next === undefined) this.#dropped += this.#kept.size;
    // One by one, for the store to put in batches as it likes.
    else for (const charge of this.#kept.values()) next.add([charge]);
    this.#kept.clear();
  }

  close(): void {
    // Nothing is open.
  }

  #keep({ counter, amount }: Charge): void {
    const kept = this.#kept.get(counter.key);
    if (kept === undefined && this.#kept.size === MAX_KEPT) this.#dropped++;
    else this.#kept.set(counter.key, { counter, amount: Math.min(amount + (kept?.amount ?? 0), MAX_COUNTED) });
  }
}
