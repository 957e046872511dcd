import type { Charge, Counter, CounterState, LimitStore, Verdict, Window } from './limit-store.ts';

/** Something that was counted, or is. */
interface Event {
  readonly key: string;
  /** The reservation's; undefined for what was only added. */
  readonly id: string | undefined;
  readonly kind: 'reserved' | 'debt';
  readonly atMs: number;
  amount: number;
}

/** Of a reservation that is not settled. */
interface Open {
  readonly charges: readonly Charge[];
  readonly atMs: number;
}

/**
 * What every store must agree with: a list of all that ever happened, counted anew at every question. It knows of
 * buckets only which two moments are too far apart, and finds moments by trying.
 */
export class LimiterModel implements LimitStore {
  readonly #nowMs: () => number;
  readonly #events: Event[] = [];
  readonly #open = new Map<string, Open>();

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  reserve(id: string, charges: readonly Charge[]): Verdict {
    const now = this.#nowMs();
    const refused = charges.map(charge => !this.#passes(charge, now));
    const states = () => this.read(charges.map(charge => charge.counter));
    if (refused.includes(true)) {
      const refusedBy = [...charges.keys()].filter(i => refused[i]);
      return { admitted: false, refusedBy, retryAfterMs: this.#retryAfterMs(charges), states: states() };
    }
    for (const { counter, amount } of charges) {
      this.#events.push({ key: counter.key, id, kind: 'reserved', atMs: now, amount });
    }
    this.#open.set(id, { charges, atMs: now });
    return { admitted: true, states: states() };
  }

  release(id: string): void {
    for (const { counter } of this.#open.get(id)?.charges ?? []) {
      if (counter.window.kind === 'held') this.#reservedIn(id, counter).amount = 0;
    }
  }

  settle(id: string, _charges: readonly Charge[], amounts: readonly number[]): void {
    const open = this.#open.get(id);
    if (open === undefined) return;
    this.release(id);
    this.#open.delete(id);
    for (const [i, { counter, amount }] of open.charges.entries()) {
      if (counter.window.kind === 'held') continue;
      const real = amounts[i] ?? 0;
      this.#reservedIn(id, counter).amount = Math.min(real, amount);
      this.#addDebt(id, counter, Math.max(0, real - amount));
    }
  }

  add(charges: readonly Charge[]): void {
    for (const { counter, amount } of charges) {
      if (counter.window.kind !== 'held') this.#addDebt(undefined, counter, amount);
    }
  }

  read(counters: readonly Counter[]): CounterState[] {
    return counters.map(counter => {
      const used = this.#used(counter, this.#nowMs());
      const resetMs =
        used === 0 || counter.window.kind === 'held'
          ? 0
          : (this.#waitMs(counter.window, atMs => this.#used(counter, atMs) === 0) ?? 0);
      return { used, limit: counter.limit, resetMs };
    });
  }

  /** What reservations took of the counter from `fromMs` on and did not give back; no debt. */
  reservedSince(counter: Counter, fromMs: number): number {
    return sum(
      this.#events.filter(({ key, kind, atMs }) => key === counter.key && kind === 'reserved' && atMs >= fromMs),
    );
  }

  #retryAfterMs(charges: readonly Charge[]): number | undefined {
    let longest = 0;
    for (const charge of charges) {
      if (this.#passes(charge, this.#nowMs())) continue;
      const waitMs = this.#waitMs(charge.counter.window, atMs => this.#passes(charge, atMs));
      if (waitMs === undefined) return undefined;
      longest = Math.max(longest, waitMs);
    }
    return longest;
  }

  #passes({ counter, amount }: Charge, atMs: number): boolean {
    if (counter.shadow) return true;
    return counter.limit > 0 && this.#used(counter, atMs) + amount <= counter.limit;
  }

  #used({ key, window }: Counter, atMs: number): number {
    return sum(this.#events.filter(event => event.key === key && isCounted(window, event.atMs, atMs)));
  }

  /** The least wait after which `holds`, which does so for ever once it does. Undefined: it never does. */
  #waitMs(window: Window, holds: (atMs: number) => boolean): number | undefined {
    if (window.kind === 'held') return undefined;
    const now = this.#nowMs();
    // From then on it is another counter that is asked for.
    if (window.kind === 'calendar') return Math.max(0, window.endMs - now);
    let tooShort = 0;
    let enough = 2 * window.periodMs;
    if (!holds(now + enough)) return undefined;
    while (enough - tooShort > 1) {
      const middle = Math.floor((tooShort + enough) / 2);
      if (holds(now + middle)) enough = middle;
      else tooShort = middle;
    }
    return enough;
  }

  #reservedIn(id: string, counter: Counter): Event {
    const found = this.#events.find(({ id: of, key, kind }) => of === id && key === counter.key && kind === 'reserved');
    if (found === undefined) throw new Error(`${id} reserved nothing in ${counter.key}`);
    return found;
  }

  #addDebt(id: string | undefined, counter: Counter, amount: number): void {
    this.#events.push({ key: counter.key, id, kind: 'debt', atMs: this.#nowMs(), amount });
  }
}

function isCounted(window: Window, eventMs: number, atMs: number): boolean {
  if (window.kind === 'held') return true;
  if (window.kind === 'calendar') return atMs < window.endMs + 3_600_000;
  const bucketOf = (ms: number) => Math.floor((ms * 60) / window.periodMs);
  return bucketOf(atMs) - bucketOf(eventMs) <= 60;
}

function sum(events: readonly Event[]): number {
  return events.reduce((total, { amount }) => total + amount, 0);
}
