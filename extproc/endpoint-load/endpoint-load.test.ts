import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { type Endpoint, EndpointSchema } from '../../proto/gen/fairlead/v1/table_pb.js';
import { EndpointLoad } from './endpoint-load.ts';

const pod = (id: string, more: Partial<Endpoint> = {}): Endpoint =>
  create(EndpointSchema, { id, address: `${id}:8000`, name: `pod-${id}`, ...more });

function fail(load: EndpointLoad, slot: number, nowMs: number, times = 3): void {
  for (let failed = 0; failed < times; failed++) load.attemptFailed(slot, 'connect', nowMs);
}

describe('endpoint load', () => {
  it('has one row for a pod that several models list, until the last unlists it', () => {
    const load = new EndpointLoad();
    const slot = load.acquire(pod('a'));
    assert.equal(load.acquire(pod('a')), slot);
    load.unlist(slot);
    assert.deepEqual(
      [...load.rows(0)].map(row => [row.id, row.listed]),
      [['a', true]],
    );
    load.unlist(slot);
    assert.deepEqual([...load.rows(0)], []);
    assert.throws(() => load.unlist(slot), /unlisted/);
  });

  it('takes over address and draining of the latest listing', () => {
    const load = new EndpointLoad();
    const slot = load.acquire(pod('a'));
    assert.equal(load.isUsable(slot, 0), true);
    load.acquire(pod('a', { address: '10.0.0.9:80', draining: true }));
    assert.equal(load.address(slot), '10.0.0.9:80');
    assert.deepEqual([load.isUsable(slot, 0), load.standing(slot, 0)], [false, 'draining']);
    load.acquire(pod('a'));
    assert.equal(load.isUsable(slot, 0), true);
  });

  it('keeps the counts of a pod that leaves the table and comes back while a request runs', () => {
    const load = new EndpointLoad();
    const slot = load.acquire(pod('a'));
    const reservation = load.reserve(slot, 100, 0);
    load.unlist(slot);
    assert.deepEqual(
      [...load.rows(0)].map(row => [row.id, row.listed, row.inFlight]),
      [['a', false, 1]],
    );
    assert.notEqual(load.acquire(pod('b')), slot);
    assert.equal(load.acquire(pod('a')), slot);
    assert.equal(load.inFlight(slot), 1);
    load.release(reservation);
    assert.deepEqual([load.inFlight(slot), load.tokenCounts(0)[slot]], [0, 100]);
    load.settle(reservation, 30, 0);
    assert.equal(load.tokenCounts(0)[slot], 30);
  });

  it('releases once and settles once, in any order', () => {
    const load = new EndpointLoad();
    const slot = load.acquire(pod('a'));
    const reservation = load.reserve(slot, 100, 0);
    for (let again = 0; again < 2; again++) load.settle(reservation, 40, 0);
    assert.deepEqual([load.inFlight(slot), load.tokenCounts(0)[slot]], [1, 40]);
    for (let again = 0; again < 2; again++) load.release(reservation);
    assert.equal(load.inFlight(slot), 0);
  });

  it('moves what is still held: in-flight unless released, tokens unless settled', () => {
    const load = new EndpointLoad();
    const [a, b] = [load.acquire(pod('a')), load.acquire(pod('b'))];
    const counts = () => [load.inFlight(a), load.inFlight(b), load.tokenCounts(0)[a], load.tokenCounts(0)[b]];
    const reservation = load.reserve(a, 100, 0);
    load.move(reservation, b, 0);
    assert.equal(reservation.slot, b);
    assert.deepEqual(counts(), [0, 1, 0, 100]);
    load.release(reservation);
    load.move(reservation, a, 0);
    assert.deepEqual(counts(), [0, 0, 100, 0]);
    load.settle(reservation, 60, 0);
    load.move(reservation, b, 0);
    assert.equal(reservation.slot, a);
    assert.deepEqual(counts(), [0, 0, 60, 0]);
  });

  it('gives no row away that a running exchange may still move to', () => {
    const load = new EndpointLoad();
    const [first, second] = [load.acquire(pod('a')), load.acquire(pod('b'))];
    const reservation = load.reserve(first, 10, 0);
    load.unlist(second);
    const other = load.acquire(pod('c'));
    load.move(reservation, second, 0);
    assert.deepEqual([load.address(second), load.inFlight(second), load.inFlight(other)], ['b:8000', 1, 0]);
    load.release(reservation);
    load.settle(reservation, 10, 0);
    assert.equal(load.acquire(pod('d')), second);
    assert.deepEqual([load.inFlight(second), load.tokenCounts(0)[second]], [0, 0]);
  });

  it('starts an endpoint with nothing held against it on a row that another left ejected', () => {
    const load = new EndpointLoad();
    const slot = load.acquire(pod('a', { draining: true }));
    fail(load, slot, 0);
    load.unlist(slot);
    assert.equal(load.acquire(pod('b')), slot);
    assert.equal(load.standing(slot, 0), 'usable');
  });

  it('ejects, probes with one reservation at a time, and closes on success', () => {
    const load = new EndpointLoad();
    const [slot, other] = [load.acquire(pod('a')), load.acquire(pod('b'))];
    fail(load, slot, 0);
    assert.deepEqual([load.standing(slot, 4_999), load.standing(slot, 5_000)], ['ejected', 'usable']);
    const aborted = load.reserve(slot, 1, 5_000);
    assert.equal(load.standing(slot, 5_000), 'probing');
    load.release(aborted);
    assert.equal(load.standing(slot, 5_000), 'usable');
    const moved = load.reserve(other, 1, 5_000);
    load.move(moved, slot, 5_100);
    assert.equal(load.isUsable(slot, 5_100), false);
    load.move(moved, other, 5_200);
    assert.equal(load.isUsable(slot, 5_200), true);
    const answered = load.reserve(slot, 1, 5_300);
    load.attemptSucceeded(slot, 5_400);
    assert.equal(load.isUsable(slot, 5_400), true);
    load.release(answered);
    assert.equal(load.isUsable(slot, 5_400), true);
  });

  it('counts a request that was sent before the ejection as no probe', () => {
    const load = new EndpointLoad();
    const slot = load.acquire(pod('a'));
    const early = load.reserve(slot, 1, 0);
    fail(load, slot, 0);
    const probe = load.reserve(slot, 1, 5_000);
    load.release(early);
    assert.equal(load.standing(slot, 5_000), 'probing');
    load.release(probe);
    assert.equal(load.standing(slot, 5_000), 'usable');
  });

  it('selects what is usable, by position', () => {
    const load = new EndpointLoad();
    const slots = Int32Array.from([pod('a'), pod('b', { draining: true }), pod('c'), pod('d')], each =>
      load.acquire(each),
    );
    fail(load, slots[2] ?? -1, 0);
    const selected = new Int32Array(4);
    assert.deepEqual([...selected.subarray(0, load.selectUsable(slots, 1, selected))], [0, 3]);
    assert.deepEqual([...selected.subarray(0, load.selectUsable(slots, 5_000, selected))], [0, 2, 3]);
  });

  it('refuses what cannot be: unknown slots, negative tokens, reservations of other making', () => {
    const load = new EndpointLoad();
    const slot = load.acquire(pod('a'));
    assert.throws(() => load.reserve(7, 1, 0), /no slot 7/);
    assert.throws(() => load.attemptFailed(7, 'reset', 0), /no slot 7/);
    assert.throws(() => load.move(load.reserve(slot, 1, 0), 7, 0), /no slot 7/);
    assert.throws(() => load.reserve(slot, -1, 0), RangeError);
    assert.throws(() => load.reserve(slot, Number.NaN, 0), RangeError);
    assert.throws(() => load.release({ slot }), TypeError);
  });
});
