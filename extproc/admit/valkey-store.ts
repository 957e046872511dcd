import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { SharedStore } from './guarded-store.ts';
import type { Charge, Counter, CounterState, Verdict, Window } from './limit-store.ts';
import { type StoreCharge, StoreWriter } from './store-writer.ts';
import { StoreUnavailable, type ValkeyConnection } from './valkey-connection.ts';

/** A reservation whose holder is silent for so long is given back. */
export const LEASE_MS = 30_000;
/** Two renewals may be lost. */
const RENEW_MS = 10_000;
/** How long a store that is closed waits for the server to have heard all. */
const FAREWELL_MS = 1_000;
/** Counters read in one call, which blocks the server for a millisecond where all slide and are in full use. */
const MAX_READ = 25;
/** Leases renewed in one call, which blocks the server for a millisecond. */
const MAX_RENEWED = 1_000;

/** One hash tag for all keys: in a cluster they are in one slot, so that one script reaches them all. */
const PREFIX = 'fairlead:{limits}:';
const COUNT_PREFIX = `${PREFIX}count:`;
const LEASES_KEY = `${PREFIX}leases`;
/** Written to ask whether the server takes writes; nobody reads it. */
const PROBE_ID = 'probe';

const NOTHING_HELD: readonly StoreCharge[] = [];

/** What `reserve.lua` returns. */
type Reply = readonly [waitMs: number, refused: readonly number[], used: readonly number[], reset: readonly number[]];

interface ValkeyStoreOptions {
  readonly connection: ValkeyConnection;
  /** Milliseconds since the epoch; the server's time when absent. For tests, whose time stands still. */
  readonly nowMs?: () => number;
}

/**
 * Counts in a Valkey (or Redis) server, together with every other agent. Only `reserve`, `read` and `probe` wait for
 * it, for as long as it takes: `GuardedStore` does not. What was reserved is renewed until it is settled.
 */
export class ValkeyStore implements SharedStore {
  readonly #connection: ValkeyConnection;
  readonly #time: () => string;
  readonly #writer: StoreWriter;
  /** What is reserved and not settled, and what of it is held. */
  readonly #open = new Map<string, readonly StoreCharge[]>();
  readonly #renewing: NodeJS.Timeout;
  #next: SharedStore | undefined;

  constructor({ connection, nowMs }: ValkeyStoreOptions) {
    this.#connection = connection;
    this.#time = nowMs === undefined ? () => '' : () => String(nowMs());
    const keys = [LEASES_KEY, `${PREFIX}writer:${randomUUID()}`];
    this.#writer = new StoreWriter({
      elapsedMs: nowMs ?? (() => performance.now()),
      send: (sequence, operations) =>
        connection.run('settle', keys, [this.#time(), `${sequence}`, JSON.stringify(operations)]) as Promise<number>,
    });
    this.#renewing = setInterval(() => this.renew(), RENEW_MS).unref();
  }

  /** @throws StoreUnavailable; what it may have reserved all the same is given back. */
  async reserve(id: string, charges: readonly Charge[]): Promise<Verdict> {
    try {
      const reply = await this.#ask(id, charges);
      const verdict = verdictOf(reply, charges);
      if (verdict.admitted) this.#open.set(id, heldCharges(charges));
      return verdict;
    } catch (error) {
      const mayBeThere = !(error instanceof StoreUnavailable) || error.mayHaveRun;
      if (mayBeThere) this.#writer.push(['settle', id, charges.map(({ counter }) => storeCharge(counter, 0))], false);
      throw error;
    }
  }

  release(id: string): void {
    const held = this.#open.get(id);
    if (held === undefined || held.length === 0) return;
    this.#open.set(id, NOTHING_HELD);
    this.#writer.push(['release', id, held], true);
  }

  settle(id: string, charges: readonly Charge[], amounts: readonly number[]): void {
    const held = this.#open.get(id);
    if (held === undefined) return;
    this.#open.delete(id);
    const real = charges.map(({ counter, amount }, i) => storeCharge(counter, amounts[i] ?? amount));
    this.#writer.push(['settle', id, real], held.length > 0);
  }

  add(charges: readonly Charge[], ageMs = 0): void {
    if (this.#next !== undefined) return this.#next.add(charges, ageMs);
    const counted = charges.filter(charge => !holds(charge));
    if (counted.length === 0) return;
    this.#writer.push(['add', '', counted.map(({ counter, amount }) => storeCharge(counter, amount))], false, ageMs);
  }

  /**
   * Hands over what was added and the server cannot have counted, and whatever is added from now on. Undefined: no other
   * store comes, and the server is told as before.
   */
  replaceBy(next: SharedStore | undefined): void {
    if (next === undefined) return;
    this.#next = next;
    this.#writer.handOver((charges, ageMs) => next.add(charges.map(chargeOf), ageMs));
  }

  /**
   * Many are read one after another, so that others are served in between.
   * @throws StoreUnavailable
   */
  async read(counters: readonly Counter[]): Promise<readonly CounterState[]> {
    const states: CounterState[] = [];
    for (let from = 0; from < counters.length; from += MAX_READ) {
      const some = counters.slice(from, from + MAX_READ);
      const charges = some.map(counter => ({ counter: { ...counter, shadow: true }, amount: 0 }));
      states.push(...statesOf(await this.#ask('', charges), charges));
    }
    return states;
  }

  /**
   * Asks whether reservations could be made, by making one of a counter of its own, and begins to renew what
   * there is, since the server may have been away for long or have come back empty.
   * @throws StoreUnavailable
   */
  async probe(): Promise<void> {
    const window = { kind: 'sliding', periodMs: 1_000 } as const;
    const counter: Counter = { key: PROBE_ID, limit: Number.POSITIVE_INFINITY, window, shadow: true };
    await this.#ask(PROBE_ID, [{ counter, amount: 1 }]);
    this.renew();
  }

  /** Renews the leases of all that is not settled. A failure is left to the next time. */
  async renew(): Promise<void> {
    const ids = [...this.#open.keys()];
    for (let from = 0; from < ids.length; from += MAX_RENEWED) {
      const some = ids.slice(from, from + MAX_RENEWED).flatMap(id => {
        // What was settled since is over.
        const held = this.#open.get(id);
        return held === undefined ? [] : [[id, held]];
      });
      const args = [this.#time(), `${LEASE_MS}`, JSON.stringify(some)];
      await this.#connection.run('renew', [LEASES_KEY], args).catch(() => undefined);
    }
  }

  /** Resolves with whether the server has all that was released, settled and added. */
  flush(): Promise<boolean> {
    return this.#writer.flush();
  }

  /** Settlements and amounts that the server will never hear of, as it was away for too long. */
  get dropped(): number {
    return this.#writer.dropped;
  }

  /** Tells the server, if it answers soon, what it has not heard yet. What is not settled is left to the end of its lease. */
  async close(): Promise<void> {
    clearInterval(this.#renewing);
    await Promise.race([this.#writer.flush(), delay(FAREWELL_MS, undefined, { ref: false })]);
    this.#writer.close();
    this.#connection.close();
  }

  #ask(id: string, charges: readonly Charge[]): Promise<Reply> {
    const told = charges.map(({ counter, amount }) => [...storeCharge(counter, amount), refusingLimit(counter)]);
    const args = [id, this.#time(), `${LEASE_MS}`, JSON.stringify(told)];
    return this.#connection.run('reserve', [LEASES_KEY], args) as Promise<Reply>;
  }
}

function holds({ counter }: Charge): boolean {
  return counter.window.kind === 'held';
}

function heldCharges(charges: readonly Charge[]): readonly StoreCharge[] {
  if (!charges.some(holds)) return NOTHING_HELD;
  return charges.flatMap(charge =>
    holds(charge) && charge.amount > 0 ? [storeCharge(charge.counter, charge.amount)] : [],
  );
}

function storeCharge({ key, window }: Counter, amount: number): StoreCharge {
  const term = window.kind === 'sliding' ? window.periodMs : window.kind === 'calendar' ? window.endMs : 0;
  // A lone surrogate, which JSON can bring in a name, is nothing that the server's JSON could read.
  return [`${COUNT_PREFIX}${key.toWellFormed()}`, window.kind, term, amount];
}

/** What was told, as another store takes it. */
function chargeOf([key, kind, term, amount]: StoreCharge): Charge {
  // Where an amount is added, only the end of its period matters.
  const window: Window = kind === 'calendar' ? { kind, startMs: 0, endMs: term } : { kind: 'sliding', periodMs: term };
  const counter = { key: key.slice(COUNT_PREFIX.length), limit: Number.POSITIVE_INFINITY, window, shadow: false };
  return { counter, amount };
}

/** As the script has it: -1 refuses nothing. */
function refusingLimit({ limit, shadow }: Counter): number {
  return shadow || limit === Number.POSITIVE_INFINITY ? -1 : limit;
}

function verdictOf(reply: Reply, charges: readonly Charge[]): Verdict {
  const [waitMs, refusedBy] = reply;
  const states = statesOf(reply, charges);
  if (refusedBy.length === 0) return { admitted: true, states };
  return { admitted: false, refusedBy, retryAfterMs: waitMs < 0 ? undefined : waitMs, states };
}

function statesOf([, , used, reset]: Reply, charges: readonly Charge[]): CounterState[] {
  return charges.map(({ counter: { limit } }, i) => ({ used: used[i] ?? 0, limit, resetMs: reset[i] ?? 0 }));
}
