import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { create } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { EndpointSchema } from '../../proto/gen/fairlead/v1/table_pb.js';
import { EndpointLoad } from './endpoint-load.ts';
import type { Reservation } from './reservation.ts';

/** What EndpointLoad must agree with: a list of claims, counted anew at every question. */
interface Claim {
  readonly reservation: Reservation;
  /** Endpoints that the exchange may move to, with the slots that they had when it was made. */
  readonly candidates: readonly { readonly id: string; readonly slot: number }[];
  id: string;
  tokens: number;
  released: boolean;
  settled: boolean;
}

class Reference {
  readonly load = new EndpointLoad();
  readonly #slots = new Map<string, number>();
  readonly #listings: string[] = [];
  readonly #claims: Claim[] = [];
  readonly #processed: { id: string; tokens: number }[] = [];

  list(id: string): void {
    const endpoint = create(EndpointSchema, { id, address: `${id}:80`, name: id });
    this.#slots.set(id, this.load.acquire(endpoint));
    this.#listings.push(id);
  }

  unlist(seed: number): void {
    const [id] = this.#listings.splice(seed % this.#listings.length, 1);
    if (id !== undefined) this.load.unlist(this.#slotOf(id));
  }

  reserve(seed: number, tokens: number): void {
    const ids = [...new Set(this.#listings)];
    const id = ids[seed % ids.length];
    if (id === undefined) return;
    const candidates = ids.map(each => ({ id: each, slot: this.#slotOf(each) }));
    const reservation = this.load.reserve(this.#slotOf(id), tokens, 0);
    this.#claims.push({ reservation, candidates, id, tokens, released: false, settled: false });
  }

  move(seed: number, to: number): void {
    const claim = this.#claims[seed % this.#claims.length];
    const target = claim?.candidates[to % claim.candidates.length];
    if (claim === undefined || target === undefined) return;
    if (claim.released && claim.settled) return;
    this.load.move(claim.reservation, target.slot, 0);
    claim.id = target.id;
  }

  release(seed: number): void {
    const claim = this.#claims[seed % this.#claims.length];
    if (claim === undefined) return;
    this.load.release(claim.reservation);
    claim.released = true;
  }

  settle(seed: number, tokens: number): void {
    const claim = this.#claims[seed % this.#claims.length];
    if (claim === undefined) return;
    this.load.settle(claim.reservation, tokens, 0);
    if (!claim.settled) this.#processed.push({ id: claim.id, tokens });
    claim.settled = true;
  }

  endAll(): void {
    for (const index of this.#claims.keys()) {
      this.release(index);
      this.settle(index, 1);
    }
  }

  check(): void {
    const rows = new Map([...this.load.rows(0)].map(row => [row.id, row]));
    const held = this.#claims.filter(claim => !(claim.released && claim.settled));
    assert.deepEqual(new Set(rows.keys()), new Set([...this.#listings, ...held.map(claim => claim.id)]));
    for (const [id, row] of rows) {
      const own = held.filter(claim => claim.id === id);
      const unsettled = own.filter(claim => !claim.settled);
      assert.equal(row.listed, this.#listings.includes(id));
      assert.equal(row.inFlight, own.filter(claim => !claim.released).length, `in flight on ${id}`);
      assert.equal(row.reservedTokens, sum(unsettled), `reserved on ${id}`);
      for (const claim of own) assert.equal(claim.reservation.slot, row.slot);
    }
  }

  /** Tokens processed, on endpoints that never left. */
  checkProcessed(): void {
    for (const row of this.load.rows(0)) {
      assert.equal(row.processedTokens, sum(this.#processed.filter(entry => entry.id === row.id)), `of ${row.id}`);
    }
  }

  #slotOf(id: string): number {
    const slot = this.#slots.get(id);
    assert.ok(slot !== undefined);
    return slot;
  }
}

function sum(entries: readonly { tokens: number }[]): number {
  return entries.reduce((total, entry) => total + entry.tokens, 0);
}

type Action = (reference: Reference) => void;
const pick = fc.nat(1_000);
const tokens = fc.nat(1_000);
const id = fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f', 'g');
const exchangeActions: fc.Arbitrary<Action>[] = [
  fc.tuple(pick, tokens).map(
    ([claim, count]): Action =>
      reference =>
        reference.reserve(claim, count),
  ),
  fc.tuple(pick, pick).map(
    ([claim, to]): Action =>
      reference =>
        reference.move(claim, to),
  ),
  pick.map(
    (claim): Action =>
      reference =>
        reference.release(claim),
  ),
  fc.tuple(pick, tokens).map(
    ([claim, count]): Action =>
      reference =>
        reference.settle(claim, count),
  ),
];
const tableActions: fc.Arbitrary<Action>[] = [
  id.map(
    (name): Action =>
      reference =>
        reference.list(name),
  ),
  pick.map(
    (listing): Action =>
      reference =>
        reference.unlist(listing),
  ),
];

describe('endpoint load, against a naive reference', () => {
  it('keeps every count on the endpoint it belongs to, through any change of the table', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(...tableActions, ...exchangeActions), { maxLength: 200, size: 'max' }), actions => {
        const reference = new Reference();
        for (const act of actions) {
          act(reference);
          reference.check();
        }
        reference.endAll();
        reference.check();
      }),
      { numRuns: 200 },
    );
  });

  it('counts every settled token once, where the request was in the end', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(...exchangeActions), { maxLength: 100, size: 'max' }), actions => {
        const reference = new Reference();
        for (const name of ['a', 'b', 'c']) reference.list(name);
        for (const act of actions) act(reference);
        reference.endAll();
        reference.checkProcessed();
      }),
    );
  });
});
