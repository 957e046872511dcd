import { MAX_COUNTED } from './count.ts';
import type { StoreCharge } from './store-writer.ts';

/** What was added to one counter, in one stretch of time where its window slides. */
interface LateCharge {
  readonly charge: StoreCharge;
  /** When the last of it was used, by the clock of the writer, milliseconds. */
  readonly sinceMs: number;
}

/** Four for each consumer and model that was used, so that 25,000 such pairs have room; some 30 MB. */
const MAX_SUMS = 100_000;
/** Buckets of sliding windows, which are over soon anyway. */
const MAX_SLICES = 10_000;
/** A window slides in so many parts, which store and sender need not begin at the same moment. */
const SLICES_PER_PERIOD = 60;

/**
 * Amounts that a store cannot be told now, added up by counter, so that an outage of any length loses none that counts
 * until a date. With more counters than it holds, those that were added to first are dropped.
 */
export class LateCharges {
  readonly #sums = new Map<string, LateCharge>();
  readonly #slices = new Map<string, LateCharge>();
  #dropped = 0;

  /** Charges that were lost. */
  get dropped(): number {
    return this.#dropped;
  }

  get size(): number {
    return this.#sums.size + this.#slices.size;
  }

  add(charge: StoreCharge, sinceMs: number): void {
    const [key, window, term] = charge;
    if (window === 'calendar') this.#merge(this.#sums, key, charge, sinceMs, MAX_SUMS);
    else {
      const slice = Math.floor((sinceMs * SLICES_PER_PERIOD) / term);
      this.#merge(this.#slices, `${slice}@${key}`, charge, sinceMs, MAX_SLICES);
    }
  }

  /** Takes out some: first those that must not be lost. */
  take(most: number): LateCharge[] {
    const some: LateCharge[] = [];
    for (const charges of [this.#sums, this.#slices]) {
      for (const [key, late] of charges) {
        if (some.length === most) return some;
        charges.delete(key);
        some.push(late);
      }
    }
    return some;
  }

  #merge(into: Map<string, LateCharge>, key: string, charge: StoreCharge, sinceMs: number, most: number): void {
    const earlier = into.get(key);
    const [counter, window, term, amount] = charge;
    const sum = Math.min(amount + (earlier?.charge[3] ?? 0), MAX_COUNTED);
    into.set(key, { charge: [counter, window, term, sum], sinceMs });
    if (into.size <= most) return;
    const [oldest] = into.keys();
    if (oldest !== undefined) into.delete(oldest);
    this.#dropped++;
  }
}
