import type { Endpoint } from '../../proto/gen/fairlead/v1/table_pb.js';
import { type Column, grown } from './column.ts';
import {
  type AttemptFailure,
  admitsRequest,
  afterFailure,
  afterProbeEnded,
  afterProbeSent,
  afterSuccess,
  CLOSED,
  type EjectionState,
  ejectionPhase,
} from './ejection.ts';
import { OpenReservation, type Reservation } from './reservation.ts';
import { Slots } from './slots.ts';
import { TokenCounts } from './token-counts.ts';

/** Whether an endpoint may be picked, or why not. `probing`: half-open, and its one trial request is on its way. */
export type Standing = 'usable' | 'draining' | 'ejected' | 'probing';

/** One endpoint as metrics and explain show it. */
export interface EndpointRow {
  readonly slot: number;
  readonly id: string;
  readonly address: string;
  /** False for one that the table no longer has and that still has requests. */
  readonly listed: boolean;
  readonly standing: Standing;
  readonly lastFailure: AttemptFailure | undefined;
  readonly inFlight: number;
  readonly reservedTokens: number;
  /** Tokens processed within the window. */
  readonly processedTokens: number;
}

const INITIAL_ROWS = 64;
/** More than any exchange has; whole numbers up to here add up exactly for millions of exchanges. */
const MAX_TOKENS_PER_EXCHANGE = 1_000_000_000;

/**
 * What each endpoint is doing now: the only owner of in-flight counts, token counts and ejections.
 *
 * Struct of arrays: a slot is a row, a strategy reads columns. A row belongs to an endpoint's identity, so models that
 * share a pod share its row, and it outlives any change of the table for as long as something is in flight or unsettled.
 * All times are milliseconds of one clock that does not step back.
 */
export class EndpointLoad {
  readonly #slots = new Slots();
  readonly #tokens = new TokenCounts(INITIAL_ROWS);
  readonly #ejection: EjectionState[] = [];
  #draining = new Int32Array(INITIAL_ROWS);
  /** 1 where something may speak against picking the row: it is draining, or its ejection state is not CLOSED. */
  #hindered = new Int32Array(INITIAL_ROWS);
  #inFlight = new Int32Array(INITIAL_ROWS);
  /** Reservations that are not over: in flight, or unsettled, or both. */
  #held = new Int32Array(INITIAL_ROWS);

  /** The slot of the endpoint with this id: the one it has, else a new one. Each call is one listing, which `unlist` ends. */
  acquire(endpoint: Endpoint): number {
    const slot = this.#slots.find(endpoint.id) ?? this.#place(endpoint);
    this.#slots.list(slot, endpoint);
    this.#draining[slot] = endpoint.draining ? 1 : 0;
    this.#setEjection(slot, this.#ejectionOf(slot));
    return slot;
  }

  /** One listing fewer. The row stays while anything is held on it. */
  unlist(slot: number): void {
    this.#slots.unlist(slot);
    this.#retireWhenIdle(slot);
  }

  /** "ip:port", as Envoy knows it. */
  address(slot: number): string {
    return this.#slots.endpoint(slot).address;
  }

  /** A request is sent there: one more in flight, and its estimated tokens reserved. */
  reserve(slot: number, tokens: number, nowMs: number): Reservation {
    this.#slots.endpoint(slot);
    const reservation = new OpenReservation(slot, countable(tokens), this.#slots.reuse.enter());
    this.#enter(reservation, slot, nowMs);
    return reservation;
  }

  /** The attempt failed and the next candidate is tried. Without effect on a reservation that is over. */
  move(reservation: Reservation, toSlot: number, nowMs: number): void {
    const open = own(reservation);
    this.#slots.endpoint(toSlot);
    if (open.over || open.slot === toSlot) return;
    this.#leave(open);
    open.slot = toSlot;
    this.#enter(open, toSlot, nowMs);
  }

  /** The request is no longer in flight. Once; a second call changes nothing. Its tokens stay reserved until settled. */
  release(reservation: Reservation): void {
    const open = own(reservation);
    if (open.released) return;
    this.#endProbe(open);
    this.#addInFlight(open.slot, -1);
    open.released = true;
    this.#finish(open);
  }

  /** Replaces the reserved tokens by those processed, prompt and generated. Once; a second call changes nothing. */
  settle(reservation: Reservation, tokens: number, nowMs: number): void {
    const open = own(reservation);
    if (open.settled) return;
    this.#tokens.process(open.slot, countable(tokens), nowMs);
    this.#tokens.reserve(open.slot, -open.tokens);
    open.tokens = 0;
    open.settled = true;
    this.#finish(open);
  }

  /** An attempt there failed. 4xx answers are no failures of the endpoint and must not be reported. */
  attemptFailed(slot: number, failure: AttemptFailure, nowMs: number): void {
    this.#setEjection(slot, afterFailure(this.#ejectionOf(slot), failure, nowMs));
  }

  /** An attempt there was answered, with anything but a 5xx. */
  attemptSucceeded(slot: number, nowMs: number): void {
    const state = this.#ejectionOf(slot);
    if (state !== CLOSED) this.#setEjection(slot, afterSuccess(state, nowMs));
  }

  inFlight(slot: number): number {
    return this.#inFlight[slot] ?? 0;
  }

  /** By slot: requests in flight. */
  inFlightCounts(): Column {
    return this.#inFlight;
  }

  /** By slot: tokens processed within the window, and those reserved for requests that are not settled. */
  tokenCounts(nowMs: number): Column {
    return this.#tokens.totals(nowMs);
  }

  isDraining(slot: number): boolean {
    return this.#draining[slot] !== 0;
  }

  /** Whether a request may be sent there: neither draining nor ejected, and no probe on its way. */
  isUsable(slot: number, nowMs: number): boolean {
    if (this.#hindered[slot] === 0) return true;
    return this.#draining[slot] === 0 && admitsRequest(this.#ejectionOf(slot), nowMs);
  }

  /** Writes into `into` the positions in `slots` of those that `isUsable`; returns how many. */
  selectUsable(slots: Int32Array, nowMs: number, into: Int32Array): number {
    const hindered = this.#hindered;
    let size = 0;
    for (let position = 0; position < slots.length; position++) {
      const slot = slots[position] ?? -1;
      if (hindered[slot] !== 0 && !this.isUsable(slot, nowMs)) continue;
      into[size++] = position;
    }
    return size;
  }

  standing(slot: number, nowMs: number): Standing {
    if (this.isDraining(slot)) return 'draining';
    const state = this.#ejectionOf(slot);
    if (admitsRequest(state, nowMs)) return 'usable';
    return ejectionPhase(state, nowMs) === 'ejected' ? 'ejected' : 'probing';
  }

  /** Every endpoint that is listed or has something held on it. */
  *rows(nowMs: number): Generator<EndpointRow> {
    for (let slot = 0; slot < this.#slots.count; slot++) {
      if (this.#slots.reuse.isRetired(slot)) continue;
      const { id, address } = this.#slots.endpoint(slot);
      const reservedTokens = this.#tokens.reserved(slot);
      yield {
        slot,
        id,
        address,
        listed: this.#slots.listings(slot) > 0,
        standing: this.standing(slot, nowMs),
        lastFailure: this.#ejectionOf(slot).lastFailure,
        inFlight: this.inFlight(slot),
        reservedTokens,
        processedTokens: (this.tokenCounts(nowMs)[slot] ?? 0) - reservedTokens,
      };
    }
  }

  #place(endpoint: Endpoint): number {
    const slot = this.#slots.place(endpoint);
    if (slot >= this.#inFlight.length) this.#grow(slot * 2);
    this.#tokens.clear(slot);
    this.#ejection[slot] = CLOSED;
    if (this.#held[slot] !== 0) throw new Error(`endpoint-load: slot ${slot} is given away while in use`);
    return slot;
  }

  #grow(rows: number): void {
    this.#tokens.grow(rows);
    this.#draining = grown(this.#draining, rows);
    this.#hindered = grown(this.#hindered, rows);
    this.#inFlight = grown(this.#inFlight, rows);
    this.#held = grown(this.#held, rows);
  }

  /** Counts a reservation on a row, and makes it the probe where one is due. */
  #enter(open: OpenReservation, slot: number, nowMs: number): void {
    this.#slots.reuse.revive(slot);
    this.#held[slot] = (this.#held[slot] ?? 0) + 1;
    this.#tokens.reserve(slot, open.tokens);
    if (open.released) return;
    this.#addInFlight(slot, 1);
    const state = this.#ejectionOf(slot);
    if (ejectionPhase(state, nowMs) !== 'half-open' || state.probe === 'out') return;
    open.probe = true;
    this.#setEjection(slot, afterProbeSent(state));
  }

  /** Takes a reservation that is not over off its row. */
  #leave(open: OpenReservation): void {
    this.#endProbe(open);
    if (!open.released) this.#addInFlight(open.slot, -1);
    this.#tokens.reserve(open.slot, -open.tokens);
    this.#unhold(open.slot);
  }

  #finish(open: OpenReservation): void {
    if (!open.over) return;
    this.#slots.reuse.leave(open.epoch);
    this.#unhold(open.slot);
  }

  #unhold(slot: number): void {
    this.#held[slot] = (this.#held[slot] ?? 0) - 1;
    this.#retireWhenIdle(slot);
  }

  #retireWhenIdle(slot: number): void {
    if (this.#held[slot] === 0 && this.#slots.listings(slot) === 0) this.#slots.reuse.retire(slot);
  }

  #endProbe(open: OpenReservation): void {
    if (!open.probe) return;
    open.probe = false;
    this.#setEjection(open.slot, afterProbeEnded(this.#ejectionOf(open.slot)));
  }

  #addInFlight(slot: number, change: 1 | -1): void {
    const inFlight = (this.#inFlight[slot] ?? 0) + change;
    if (inFlight < 0) throw new Error(`endpoint-load: slot ${slot} would have ${inFlight} in flight`);
    this.#inFlight[slot] = inFlight;
  }

  #setEjection(slot: number, state: EjectionState): void {
    this.#ejection[slot] = state;
    this.#hindered[slot] = state !== CLOSED || this.isDraining(slot) ? 1 : 0;
  }

  #ejectionOf(slot: number): EjectionState {
    const state = this.#ejection[slot];
    if (state === undefined) throw new Error(`endpoint-load: there is no slot ${slot}`);
    return state;
  }
}

/** Whole tokens within bounds. Estimates may be fractions; less than none is a mistake of ours. */
function countable(tokens: number): number {
  if (!(tokens >= 0)) throw new RangeError(`endpoint-load: ${tokens} is no count of tokens`);
  return Math.min(Math.round(tokens), MAX_TOKENS_PER_EXCHANGE);
}

function own(reservation: Reservation): OpenReservation {
  if (reservation instanceof OpenReservation) return reservation;
  throw new TypeError('endpoint-load: a reservation is made by reserve() only');
}
