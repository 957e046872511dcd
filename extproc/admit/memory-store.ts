import { CalendarSum } from './calendar-sum.ts';
import type { Count, Moment } from './count.ts';
import { CountMap } from './count-map.ts';
import { HeldSum } from './held-sum.ts';
import type { Charge, Counter, CounterState, LimitStore, Verdict } from './limit-store.ts';
import { sharedLimit } from './local-share.ts';
import type { SavedCounters } from './saved-counters.ts';
import { SlidingWindow } from './sliding-window.ts';
import { StoreClock } from './store-clock.ts';

interface MemoryStoreOptions {
  /** Milliseconds since the epoch, for calendar windows. It may go back: what slides does not wait for it. */
  readonly nowMs: () => number;
  /** How many agents count for themselves what they must share; each enforces its share. */
  readonly agents: () => number;
}

/** A reservation that was not settled. */
interface Reservation {
  readonly charges: readonly Charge[];
  /** By the steady clock. */
  readonly takenMs: number;
  released: boolean;
}

/** Longer than any answer takes: who has not settled by then has lost the reservation. */
const MAX_AGE_MS = 24 * 3_600_000;
/** Reservations remembered at most; beyond, the oldest is given up. */
const MAX_RESERVATIONS = 200_000;
/** Sliding windows of at least that period are saved: those that are shorter end soon after a restart. */
const SAVED_PERIOD_MS = 3_600_000;

/**
 * Counts in the memory of this process; each call answers at once. A reservation that is given up, since it is too old or
 * there are too many, releases what it holds and stands otherwise: nobody told that less was used.
 */
export class MemoryStore implements LimitStore {
  readonly #clock: StoreClock;
  readonly #agents: () => number;
  /** Apart, so that however many callers come, their windows do not push out what is held and what is spent. */
  readonly #sliding = new CountMap<SlidingWindow>();
  readonly #sums = new CountMap<CalendarSum | HeldSum>();
  /** By id, in the order in which they were made. */
  readonly #reservations = new Map<string, Reservation>();
  /** The counts of the charges at hand, so that each is looked up once. */
  readonly #found: (Count | undefined)[] = [];
  #changes = 0;

  constructor({ nowMs, agents }: MemoryStoreOptions) {
    this.#clock = new StoreClock(nowMs);
    this.#agents = agents;
  }

  reserve(id: string, charges: readonly Charge[]): Verdict {
    const now = this.#clock.read();
    const agents = this.#agents();
    let refusedBy: number[] | undefined;
    for (let i = 0; i < charges.length; i++) {
      const { counter, amount } = charges[i] as Charge;
      const count = this.#find(counter);
      this.#found[i] = count;
      if (counter.shadow) continue;
      const limit = sharedLimit(counter.limit, agents);
      const used = count === undefined ? 0 : count.used(now);
      if (limit > 0 && used + amount <= limit) continue;
      if (refusedBy === undefined) refusedBy = [i];
      else refusedBy.push(i);
    }
    if (refusedBy !== undefined) return this.#refusal(charges, refusedBy, agents, now);

    const states: CounterState[] = [];
    for (let i = 0; i < charges.length; i++) {
      const { counter, amount } = charges[i] as Charge;
      const count = this.#found[i] ?? this.#place(counter);
      count.add(amount, now);
      states.push(stateOf(count, sharedLimit(counter.limit, agents), now));
    }
    this.#reservations.set(id, { charges, takenMs: now.steadyMs, released: false });
    if (this.#reservations.size > MAX_RESERVATIONS) this.#giveUpOldest(now);
    return { admitted: true, states };
  }

  release(id: string): void {
    const reservation = this.#reservations.get(id);
    if (reservation !== undefined) this.#release(reservation, this.#clock.read());
  }

  settle(id: string, _charges: readonly Charge[], amounts: readonly number[]): void {
    const reservation = this.#reservations.get(id);
    if (reservation === undefined) return;
    const now = this.#clock.read();
    this.#reservations.delete(id);
    this.#release(reservation, now);
    this.#noteChange(reservation.charges);
    for (const [i, { counter, amount }] of reservation.charges.entries()) {
      const more = (amounts[i] ?? amount) - amount;
      if (counter.window.kind === 'held') continue;
      if (more > 0) this.#obtain(counter).add(more, now);
      else if (more < 0) this.#find(counter)?.giveBack(-more, reservation.takenMs, now);
    }
  }

  add(charges: readonly Charge[]): void {
    const now = this.#clock.read();
    this.#noteChange(charges);
    for (const { counter, amount } of charges) {
      if (counter.window.kind !== 'held') this.#obtain(counter).add(amount, now);
    }
  }

  read(counters: readonly Counter[]): CounterState[] {
    const now = this.#clock.read();
    const agents = this.#agents();
    return counters.map(counter => stateOf(this.#find(counter), sharedLimit(counter.limit, agents), now));
  }

  /** Forgets what is over and gives up what is too old; to be called each second. */
  expire(): void {
    const now = this.#clock.read();
    this.#sliding.sweep(now);
    this.#sums.sweep(now);
    for (const { takenMs } of this.#reservations.values()) {
      if (takenMs > now.steadyMs - MAX_AGE_MS) return;
      this.#giveUpOldest(now);
    }
  }

  /** Counters in memory, those that are over and not yet forgotten among them. */
  get size(): number {
    return this.#sliding.size + this.#sums.size;
  }

  /** Goes up whenever what `save` returns changes by more than time. */
  get changes(): number {
    return this.#changes;
  }

  /** What a restart must not forget: long windows, without what is reserved and not settled. */
  save(): SavedCounters {
    const now = this.#clock.read();
    const sliding = new Map<string, SlidingWindow>();
    const calendar = new Map<string, CalendarSum>();
    for (const [key, window] of this.#sliding.entries()) {
      if (window.periodMs >= SAVED_PERIOD_MS) sliding.set(key, new SlidingWindow(window.periodMs, window.pairs()));
    }
    for (const [key, sum] of this.#sums.entries()) {
      if (sum instanceof CalendarSum) calendar.set(key, new CalendarSum(sum.endMs, sum.used(now)));
    }
    for (const { charges, takenMs } of this.#reservations.values()) {
      for (const { counter, amount } of charges) {
        sliding.get(counter.key)?.giveBack(amount, takenMs, now);
        calendar.get(counter.key)?.giveBack(amount);
      }
    }
    return {
      version: 1,
      wallMs: now.wallMs,
      steadyMs: now.steadyMs,
      sliding: Array.from(sliding, ([key, window]) => ({ key, periodMs: window.periodMs, pairs: window.pairs() })),
      calendar: Array.from(calendar, ([key, sum]) => ({ key, endMs: sum.endMs, used: sum.used(now) })),
    };
  }

  /** Goes on from what another process saved; before anything else is asked of this store. */
  restore({ wallMs, steadyMs, sliding, calendar }: SavedCounters): void {
    this.#clock.resume({ wallMs, steadyMs });
    for (const { key, periodMs, pairs } of sliding) this.#sliding.place(key, new SlidingWindow(periodMs, pairs));
    for (const { key, endMs, used } of calendar) this.#sums.place(key, new CalendarSum(endMs, used));
  }

  #refusal(charges: readonly Charge[], refusedBy: readonly number[], agents: number, now: Moment): Verdict {
    let retryAfterMs: number | undefined = 0;
    for (const i of refusedBy) {
      const { counter, amount } = charges[i] as Charge;
      const limit = sharedLimit(counter.limit, agents);
      const count = this.#found[i];
      // With nothing used it is the amount that does not fit.
      const waitMs = limit === 0 || amount > limit ? undefined : count?.waitMs(amount, limit, now);
      if (waitMs === undefined) retryAfterMs = undefined;
      else if (retryAfterMs !== undefined) retryAfterMs = Math.max(retryAfterMs, waitMs);
    }
    const states = charges.map(({ counter }, i) => stateOf(this.#found[i], sharedLimit(counter.limit, agents), now));
    return { admitted: false, refusedBy, retryAfterMs, states };
  }

  #release(reservation: Reservation, now: Moment): void {
    if (reservation.released) return;
    reservation.released = true;
    for (const { counter, amount } of reservation.charges) {
      if (counter.window.kind === 'held') this.#find(counter)?.giveBack(amount, reservation.takenMs, now);
    }
  }

  #giveUpOldest(now: Moment): void {
    for (const [id, reservation] of this.#reservations) {
      this.#release(reservation, now);
      this.#reservations.delete(id);
      this.#noteChange(reservation.charges);
      return;
    }
  }

  /** These charges are settled, for better or worse, so that they are saved from now on. */
  #noteChange(charges: readonly Charge[]): void {
    if (charges.some(isSaved)) this.#changes++;
  }

  #find(counter: Counter): Count | undefined {
    return counter.window.kind === 'sliding' ? this.#sliding.find(counter.key) : this.#sums.find(counter.key);
  }

  #obtain(counter: Counter): Count {
    return this.#find(counter) ?? this.#place(counter);
  }

  #place({ key, window }: Counter): Count {
    if (window.kind === 'sliding') {
      const sliding = new SlidingWindow(window.periodMs);
      this.#sliding.place(key, sliding);
      return sliding;
    }
    const sum = window.kind === 'calendar' ? new CalendarSum(window.endMs) : new HeldSum();
    this.#sums.place(key, sum);
    return sum;
  }
}

function isSaved({ counter: { window } }: Charge): boolean {
  return window.kind === 'calendar' || (window.kind === 'sliding' && window.periodMs >= SAVED_PERIOD_MS);
}

function stateOf(count: Count | undefined, limit: number, now: Moment): CounterState {
  return count === undefined
    ? { used: 0, limit, resetMs: 0 }
    : { used: count.used(now), limit, resetMs: count.resetMs(now) };
}
