import type { Grant } from '../admit/grant.ts';
import type { EndpointLoad } from '../endpoint-load/endpoint-load.ts';
import type { Reservation } from '../endpoint-load/reservation.ts';
import type { Caller } from '../identity/caller.ts';
import type { BackendEntry, ModelEntry } from '../models/model-index.ts';
import type { InferenceEndpoint } from '../request/endpoints.ts';
import type { AccessRecord } from './access-record.ts';
import { attemptFailure, exchangeFailure, isAnswered, isRetried } from './failure.ts';
import { type FailedAttempt, RecentFailures } from './recent-failures.ts';
import { type CodeOf, requestCode } from './request-code.ts';
import { chargeOf, type Forecast, type Settlement, settlementOf, settlementWithoutRecord } from './settlement.ts';
import { Tally } from './tally.ts';

/** An exchange whose request was sent to an endpoint. */
export interface OpenExchange extends Forecast {
  /** Unique, also among the processes that Envoy may have records of. */
  readonly id: string;
  readonly caller: Caller;
  readonly endpoint: InferenceEndpoint;
  readonly entry: ModelEntry;
  readonly backend: BackendEntry;
  /** What its limits reserved. */
  readonly grant: Grant;
  /** Slots, in the order in which Envoy tries them; the reservation is on the first. */
  readonly candidates: readonly number[];
  readonly reservation: Reservation;
  /** When it was picked. */
  readonly startedMs: number;
}

/** What an exchange came to, once that is known. */
export interface Settled {
  readonly exchange: OpenExchange;
  /** What its caller is charged for, and how that is known. */
  readonly charge: Settlement;
  /** HTTP status that the client got; 0 for none, or where no record came. */
  readonly status: number;
}

interface LedgerOptions {
  readonly load: EndpointLoad;
  readonly codeOf: CodeOf;
  /** Whether an exchange with that id was opened here, though it be forgotten by now. */
  readonly isOwn: (id: string) => boolean;
  /** Whether the table has a model of that public id. */
  readonly isServed: (model: string) => boolean;
  /** Milliseconds of a clock that never goes back. */
  readonly nowMs: () => number;
  /** Told once of each exchange: that its stream has ended, and, before or after, what it took. */
  readonly onEnded?: (exchange: OpenExchange) => void;
  readonly onSettled?: (settled: Settled) => void;
}

/** Envoy flushes records every 50 ms: one that is 100 times later does not come any more. */
const SETTLE_TIMEOUT_MS = 5_000;
/** How long a settled exchange is remembered for the sake of records that come late or out of order. */
const REMEMBER_MS = 2_000;
/** Ended exchanges that wait for their record. Beyond, the oldest are settled without: memory is bounded, not trusted. */
const MAX_AWAITING = 100_000;

interface Entry {
  readonly exchange: OpenExchange;
  /** The stream has ended. */
  ended: boolean;
  /** When it was picked, then when it ended, then when it was settled. */
  sinceMs: number;
}

/**
 * Every exchange from its pick to its settlement. Two things end one, in any order: its stream, which releases what is
 * in flight at once, and Envoy's record of it some 50 ms later, which tells the tokens and what the endpoint did. Each
 * counts once, and if the record does not come, a forecast takes its place.
 */
export class Ledger {
  readonly tally = new Tally();
  readonly #load: EndpointLoad;
  readonly #codeOf: CodeOf;
  readonly #isOwn: (id: string) => boolean;
  readonly #isServed: (model: string) => boolean;
  readonly #nowMs: () => number;
  readonly #onEnded: (exchange: OpenExchange) => void;
  readonly #onSettled: (settled: Settled) => void;
  /** Stream open, no record yet. */
  readonly #open = new Map<string, Entry>();
  /** Stream ended, no record yet; in the order in which they ended. */
  readonly #awaiting = new Map<string, Entry>();
  /** Settled; in the order in which they were. */
  readonly #settled = new Map<string, Entry>();
  readonly #failures = new RecentFailures();

  constructor(options: LedgerOptions) {
    this.#load = options.load;
    this.#codeOf = options.codeOf;
    this.#isOwn = options.isOwn;
    this.#isServed = options.isServed;
    this.#nowMs = options.nowMs;
    this.#onEnded = options.onEnded ?? (() => undefined);
    this.#onSettled = options.onSettled ?? (() => undefined);
  }

  /** A request was sent on its way, with a reservation on its first candidate. */
  open(exchange: OpenExchange): void {
    if (this.#find(exchange.id) !== undefined) throw new Error(`ledger: exchange ${exchange.id} is there already`);
    this.#open.set(exchange.id, { exchange, ended: false, sinceMs: exchange.startedMs });
    this.tally.inFlight(exchange.entry.model.id, 1);
  }

  /** Its stream has ended, however. A second call changes nothing. */
  ended(id: string): void {
    const entry = this.#find(id);
    if (entry === undefined || entry.ended) return;
    entry.ended = true;
    this.#load.release(entry.exchange.reservation);
    this.tally.inFlight(entry.exchange.entry.model.id, -1);
    if (this.#open.delete(id)) {
      entry.sinceMs = this.#nowMs();
      this.#awaiting.set(id, entry);
      if (this.#awaiting.size > MAX_AWAITING) this.#giveUpOldest();
    }
    this.#onEnded(entry.exchange);
  }

  /**
   * An attempt failed. While Envoy tries the next candidate, that is where the request is in flight; whenever it comes,
   * the failure is held against the endpoint.
   */
  attemptFailed(record: AccessRecord): void {
    const entry = this.#find(record.id);
    const slot = entry && this.#slotOf(entry.exchange, record.upstream);
    if (entry === undefined || slot === undefined) return;
    const nowMs = this.#nowMs();
    const failure = attemptFailure(record);
    if (failure !== undefined) this.#load.attemptFailed(slot, failure, nowMs);
    const { id, status, flags } = record;
    this.#failures.add(record.upstream, { atMs: nowMs, id, failure, status, flags: [...flags] });
    if (isRetried(record)) this.#moveOn(entry.exchange, slot, nowMs);
  }

  /** Envoy's record of a whole exchange, one that was never sent anywhere included. */
  settle(record: AccessRecord): void {
    const entry = this.#open.get(record.id) ?? this.#awaiting.get(record.id);
    // Counted when it was settled, as no_record perhaps.
    if (entry === undefined && this.#isOwn(record.id)) return this.tally.settled('late');
    this.tally.request(record.model, record.backend, requestCode(record, this.#codeOf));
    if (entry === undefined) {
      if (record.id !== '') this.tally.settled('unknown');
      return;
    }
    const nowMs = this.#nowMs();
    this.#chargeLastEndpoint(entry.exchange, record, nowMs);
    const taken = settlementOf(record, entry.exchange);
    this.#settle(entry, taken, nowMs);
    const charge = chargeOf(record, entry.exchange, taken);
    this.#onSettled({ exchange: entry.exchange, charge, status: record.status });
  }

  /** Settles by forecast what has waited too long for its record, and forgets what is over. */
  expire(nowMs: number): void {
    for (const entry of this.#awaiting.values()) {
      if (nowMs - entry.sinceMs < SETTLE_TIMEOUT_MS) break;
      this.#settleWithoutRecord(entry, nowMs);
    }
    for (const [id, entry] of this.#settled) {
      if (nowMs - entry.sinceMs < REMEMBER_MS) break;
      if (entry.ended) this.#settled.delete(id);
    }
    this.tally.forgetGone(this.#isServed, nowMs);
  }

  /** Settles by forecast all that waits for its record: this process ends, and none comes any more. */
  settleAwaiting(): void {
    const nowMs = this.#nowMs();
    for (const entry of this.#awaiting.values()) this.#settleWithoutRecord(entry, nowMs);
  }

  /** The last few failed attempts at an address, newest first. */
  failures(address: string): readonly FailedAttempt[] {
    return this.#failures.of(address);
  }

  #find(id: string): Entry | undefined {
    return this.#open.get(id) ?? this.#awaiting.get(id) ?? this.#settled.get(id);
  }

  /** The candidate with that address. Checked by address: a slot may by now belong to another endpoint. */
  #slotOf({ candidates }: OpenExchange, address: string): number | undefined {
    return candidates.find(slot => this.#load.address(slot) === address);
  }

  /** Moves the reservation from a failed candidate to the one after it. */
  #moveOn({ candidates, reservation }: OpenExchange, failed: number, nowMs: number): void {
    const next = candidates[candidates.indexOf(failed) + 1];
    if (next !== undefined && reservation.slot === failed) this.#load.move(reservation, next, nowMs);
  }

  /** Tokens and health belong to the endpoint that answered, also where the record of a failed attempt is yet to come. */
  #chargeLastEndpoint(exchange: OpenExchange, record: AccessRecord, nowMs: number): void {
    const slot = this.#slotOf(exchange, record.upstream);
    if (slot === undefined) return;
    this.#load.move(exchange.reservation, slot, nowMs);
    const failure = exchangeFailure(record);
    if (failure !== undefined) this.#load.attemptFailed(slot, failure, nowMs);
    else if (isAnswered(record)) this.#load.attemptSucceeded(slot, nowMs);
  }

  #giveUpOldest(): void {
    const [oldest] = this.#awaiting.values();
    if (oldest !== undefined) this.#settleWithoutRecord(oldest, this.#nowMs());
  }

  #settleWithoutRecord(entry: Entry, nowMs: number): void {
    const { entry: model, backend } = entry.exchange;
    this.tally.request(model.model.id, backend.config.name, 'no_record');
    const charge = settlementWithoutRecord(entry.exchange);
    this.#settle(entry, charge, nowMs);
    this.#onSettled({ exchange: entry.exchange, charge, status: 0 });
  }

  #settle(entry: Entry, { tokens, kind }: Settlement, nowMs: number): void {
    const { id, entry: model, reservation } = entry.exchange;
    this.#load.settle(reservation, tokens.prompt + tokens.completion, nowMs);
    this.tally.tokens(model.model.id, tokens);
    this.tally.settled(kind);
    this.#open.delete(id);
    this.#awaiting.delete(id);
    entry.sinceMs = nowMs;
    this.#settled.set(id, entry);
  }
}
