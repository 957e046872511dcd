import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import { create } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { codeOf } from '../../errors/envoy-replies.ts';
import { BackendSchema, EndpointSchema, ModelSchema } from '../../proto/gen/fairlead/v1/table_pb.js';
import { FREE_GRANT } from '../admit/grant.ts';
import { EndpointLoad } from '../endpoint-load/endpoint-load.ts';
import { anonymous } from '../identity/caller.ts';
import type { BackendEntry, ModelEntry } from '../models/model-index.ts';
import { INFERENCE_ENDPOINTS } from '../request/endpoints.ts';
import type { AccessRecord } from './access-record.ts';
import { recorded } from './envoy-records.fixture.ts';
import { Ledger } from './ledger.ts';
import type { Settlement } from './settlement.ts';

/** One more than a record may be late. */
const longAfterMs = 5_001;

const A = '10.0.0.1:80';
const B = '10.0.0.2:80';
const C = '10.0.0.3:80';

const isOwn = (id: string): boolean => id.startsWith('x');

let nowMs = 0;
let load: EndpointLoad;
let ledger: Ledger;
let charges: Settlement[];
let slots: Record<string, number>;
let backend: BackendEntry;
let entry: ModelEntry;

beforeEach(() => {
  nowMs = 1_000;
  load = new EndpointLoad();
  charges = [];
  ledger = new Ledger({
    ...{ load, codeOf, isOwn, isServed: () => true, nowMs: () => nowMs },
    onSettled: ({ charge }) => charges.push(charge),
  });
  const acquire = (address: string) => load.acquire(create(EndpointSchema, { address, id: address }));
  slots = Object.fromEntries([A, B, C].map(address => [address, acquire(address)]));
  backend = { config: create(BackendSchema, { name: 'gpu', capacity: 1 }), slots: Object.values(slots), names: [] };
  entry = { key: 'ml/llama', model: create(ModelSchema, { id: 'llama' }), backends: [backend], routeProfile: '' };
});

const slot = (address: string): number => slots[address] ?? assert.fail(`no slot for ${address}`);
const inFlight = (): number[] => [A, B, C].map(address => load.inFlight(slot(address)));
const totalInFlight = (): number => inFlight().reduce((total, count) => total + count);
const row = (address: string) => [...load.rows(nowMs)].find(row => row.address === address) ?? assert.fail(address);
const tokens = (): number[] => [A, B, C].map(row).map(row => row.processedTokens + row.reservedTokens);
const lastFailure = (address: string) => row(address).lastFailure;
const settlements = () =>
  Object.fromEntries(ledger.tally.snapshot().settlements.map(({ kind, count }) => [kind, count]));
/** How many exchanges are settled, by whatever. */
const settled = (): number => {
  const { usage = 0, estimate = 0, nothing = 0, no_record: forecast = 0 } = settlements();
  return usage + estimate + nothing + forecast;
};
const requests = () => ledger.tally.snapshot().requests.map(({ code, count }) => `${code}: ${count}`);

/** By whom, where, and with no limits. */
const asked = { caller: anonymous(''), endpoint: INFERENCE_ENDPOINTS[0] ?? assert.fail(), grant: FREE_GRANT };

function open(id: string, ...addresses: string[]): void {
  const candidates = addresses.map(slot);
  const forecast = { promptTokens: 100, outputTokens: 200, stream: true };
  const reservation = load.reserve(candidates[0] ?? 0, 300, nowMs);
  ledger.open({ id, ...asked, entry, backend, candidates, reservation, ...forecast, startedMs: nowMs });
}

/** A record that Envoy wrote, as if it were of this exchange. */
const endOf = (id: string, upstream: string, name = 'answered'): AccessRecord => ({
  ...recorded(name).end,
  ...{ id, upstream, model: 'llama', backend: 'gpu' },
});

const attemptAt = (id: string, upstream: string, name: string): AccessRecord => ({
  ...(recorded(name).attempts[0] ?? assert.fail(`no attempt of ${name} was recorded`)),
  ...{ id, upstream },
});

describe('an exchange', () => {
  it('is in flight until its stream ends, and its tokens are reserved until its record comes', () => {
    open('x', A);
    assert.deepEqual(
      [inFlight(), tokens()],
      [
        [1, 0, 0],
        [300, 0, 0],
      ],
    );
    ledger.ended('x');
    assert.deepEqual(
      [inFlight(), tokens()],
      [
        [0, 0, 0],
        [300, 0, 0],
      ],
    );
    ledger.settle(endOf('x', A));
    assert.deepEqual(
      [inFlight(), tokens()],
      [
        [0, 0, 0],
        [18, 0, 0],
      ],
    );
    assert.deepEqual(settlements(), { usage: 1 });
  });

  it('may have its record before its stream ends', () => {
    open('x', A);
    ledger.settle(endOf('x', A));
    assert.deepEqual(
      [inFlight(), tokens()],
      [
        [1, 0, 0],
        [18, 0, 0],
      ],
    );
    nowMs += longAfterMs;
    ledger.expire(nowMs);
    ledger.ended('x');
    assert.deepEqual(inFlight(), [0, 0, 0]);
    assert.deepEqual(settlements(), { usage: 1 });
  });

  it('ends once and is settled once, however often it is said', () => {
    open('x', A);
    ledger.ended('x');
    ledger.ended('x');
    ledger.settle(endOf('x', A));
    ledger.settle(endOf('x', A));
    ledger.ended('x');
    assert.deepEqual(
      [inFlight(), tokens()],
      [
        [0, 0, 0],
        [18, 0, 0],
      ],
    );
    assert.deepEqual(settlements(), { usage: 1, late: 1 });
    assert.deepEqual(requests(), ['200: 1']);
  });

  it('that waits for its record is settled by its forecast when this process ends', () => {
    for (const id of ['x1', 'x2', 'x3']) open(id, A, B);
    for (const id of ['x2', 'x1']) ledger.ended(id);
    ledger.settleAwaiting();
    assert.deepEqual(settlements(), { no_record: 2 });
    assert.deepEqual(
      charges.map(({ tokens }) => tokens),
      [0, 1].map(() => ({ prompt: 100, cachedPrompt: 0, completion: 200 })),
    );
    ledger.settleAwaiting();
    assert.equal(charges.length, 2);
  });

  it('whose record never comes is settled by its forecast, after a while and not before', () => {
    open('x', A);
    ledger.ended('x');
    nowMs += longAfterMs - 2;
    ledger.expire(nowMs);
    assert.deepEqual(settlements(), {});
    nowMs += 2;
    ledger.expire(nowMs);
    assert.deepEqual(tokens(), [300, 0, 0]);
    assert.deepEqual(settlements(), { no_record: 1 });
    assert.deepEqual(requests(), ['no_record: 1']);
    // Remembered for a while, then forgotten; either way its record is no request more.
    for (const waitMs of [0, 10 * longAfterMs]) {
      nowMs += waitMs;
      ledger.expire(nowMs);
      ledger.settle(endOf('x', A));
      assert.deepEqual(requests(), ['no_record: 1']);
    }
    assert.deepEqual(settlements(), { no_record: 1, late: 2 });
    assert.deepEqual(tokens(), [300, 0, 0]);
  });

  it('is settled early where too many wait for their records, the oldest first', () => {
    const bound = 100_000;
    for (let i = 0; i <= bound; i++) {
      open(`x${i}`, A);
      ledger.ended(`x${i}`);
    }
    assert.deepEqual(settlements(), { no_record: 1 });
    ledger.settle(endOf('x0', A));
    ledger.settle(endOf('x1', A));
    assert.deepEqual(settlements(), { no_record: 1, late: 1, usage: 1 });
  });

  it('that its client gave up before any answer is charged for its prompt, and counts nothing for its endpoint', () => {
    open('x', A);
    ledger.ended('x');
    ledger.settle(endOf('x', A, 'client gone before headers'));
    assert.deepEqual(charges, [{ tokens: { prompt: 100, cachedPrompt: 0, completion: 0 }, kind: 'estimate' }]);
    assert.deepEqual(
      [inFlight(), tokens()],
      [
        [0, 0, 0],
        [0, 0, 0],
      ],
    );
    assert.deepEqual(settlements(), { nothing: 1 });
  });

  it('that lasts is not given up', () => {
    open('x', A);
    nowMs += 100 * longAfterMs;
    ledger.expire(nowMs);
    assert.deepEqual(settlements(), {});
    assert.deepEqual(inFlight(), [1, 0, 0]);
  });

  it('needs an id of its own', () => {
    open('x', A);
    assert.throws(() => open('x', B), /already/);
  });

  it('that nobody knows is counted as a request and settles nothing', () => {
    ledger.settle(endOf('of another process', A));
    ledger.ended('of another process');
    ledger.attemptFailed(attemptAt('of another process', A, 'reset'));
    assert.deepEqual(settlements(), { unknown: 1 });
    assert.deepEqual(requests(), ['200: 1']);
    assert.equal(lastFailure(A), undefined);
  });

  it('that was refused is counted by why', () => {
    ledger.settle(recorded('refused by extproc').end);
    assert.deepEqual(requests(), ['model_not_found: 1']);
    assert.deepEqual(settlements(), {});
  });
});

describe('a failed attempt', () => {
  it('moves what is in flight to the next candidate, and is held against the one that failed', () => {
    open('x', A, B, C);
    ledger.attemptFailed(attemptAt('x', A, 'refused connection'));
    assert.deepEqual(
      [inFlight(), tokens()],
      [
        [0, 1, 0],
        [0, 300, 0],
      ],
    );
    assert.equal(lastFailure(A), 'connect');
    ledger.attemptFailed(attemptAt('x', B, 'no headers in time'));
    assert.deepEqual(inFlight(), [0, 0, 1]);
    ledger.ended('x');
    ledger.settle(endOf('x', C));
    assert.deepEqual(
      [inFlight(), tokens()],
      [
        [0, 0, 0],
        [0, 0, 18],
      ],
    );
    assert.equal(lastFailure(B), 'timeout');
    assert.equal(lastFailure(C), undefined);
  });

  it('of the last candidate moves nothing', () => {
    open('x', A, B);
    ledger.attemptFailed(attemptAt('x', A, 'reset'));
    ledger.attemptFailed(attemptAt('x', B, 'reset'));
    assert.deepEqual(inFlight(), [0, 1, 0]);
  });

  it('that Envoy does not try again moves nothing', () => {
    open('x', A, B);
    ledger.attemptFailed(attemptAt('x', A, '500'));
    assert.deepEqual(inFlight(), [1, 0, 0]);
    assert.equal(lastFailure(A), 'status');
  });

  it('by 429 moves on, without blame', () => {
    open('x', A, B);
    ledger.attemptFailed(attemptAt('x', A, '429, then answered'));
    assert.deepEqual(inFlight(), [0, 1, 0]);
    assert.equal(lastFailure(A), undefined);
  });

  it('that is told after the whole exchange still counts against its endpoint, and only that', () => {
    open('x', A, B);
    ledger.ended('x');
    ledger.settle(endOf('x', B));
    ledger.attemptFailed(attemptAt('x', A, 'reset'));
    assert.deepEqual(
      [inFlight(), tokens()],
      [
        [0, 0, 0],
        [0, 18, 0],
      ],
    );
    assert.equal(lastFailure(A), 'reset');
    assert.equal(lastFailure(B), undefined);
  });

  it('is not held against an endpoint that took the place of the one that failed', () => {
    open('x', A, B);
    ledger.attemptFailed(attemptAt('x', '10.9.9.9:80', 'reset'));
    assert.deepEqual(inFlight(), [1, 0, 0]);
    for (const address of [A, B, C]) assert.equal(lastFailure(address), undefined);
  });

  it('is remembered for those who ask', () => {
    open('x', A, B);
    ledger.attemptFailed(attemptAt('x', A, '503, then answered'));
    assert.deepEqual(ledger.failures(A), [{ atMs: nowMs, id: 'x', failure: 'status', status: 503, flags: [] }]);
    assert.deepEqual(ledger.failures(B), []);
  });
});

describe('the record of an exchange', () => {
  it('gives tokens to the endpoint that answered, also when no attempt was said to have failed', () => {
    open('x', A, B);
    ledger.settle(endOf('x', B));
    assert.deepEqual(
      [inFlight(), tokens()],
      [
        [0, 1, 0],
        [0, 18, 0],
      ],
    );
  });

  it('makes the endpoint that answered healthy again', () => {
    open('x', A);
    ledger.attemptFailed(attemptAt('x', A, '500'));
    assert.equal(lastFailure(A), 'status');
    open('y', A);
    ledger.settle(endOf('y', A, '400'));
    assert.equal(lastFailure(A), undefined);
  });

  it('of a broken answer does not', () => {
    open('x', A);
    ledger.attemptFailed(attemptAt('x', A, 'reset in mid-stream'));
    ledger.settle(endOf('x', A, 'reset in mid-stream'));
    assert.equal(lastFailure(A), 'reset');
  });

  it('tells of an endpoint that never answered in the time of the exchange', () => {
    open('x', A);
    ledger.settle(endOf('x', A, 'no headers until the exchange timed out'));
    assert.equal(lastFailure(A), 'timeout');
  });
});

describe('whatever happens in whatever order', () => {
  const exchanges = 6;
  const some = fc.nat(exchanges - 1).map(i => `x${i}`);
  const address = fc.constantFrom(A, B, C, '10.9.9.9:80', '');
  const attempts = fc.constantFrom('reset', '429, then answered', '500', 'refused connection', 'no headers in time');
  const ends = fc.constantFrom('answered', 'reset', 'client gone in mid-stream', 'no such endpoint', 'streamed', '400');
  const event = fc.oneof(
    some.map(id => () => ledger.ended(id)),
    fc.tuple(some, address, attempts).map(
      ([id, at, name]) =>
        () =>
          ledger.attemptFailed(attemptAt(id, at, name)),
    ),
    fc.tuple(some, address, ends).map(
      ([id, at, name]) =>
        () =>
          ledger.settle(endOf(id, at, name)),
    ),
    fc.nat(3_000).map(ms => () => {
      nowMs += ms;
      ledger.expire(nowMs);
    }),
  );
  const candidates = fc.shuffledSubarray([A, B, C], { minLength: 1 });

  it('what is in flight is what has not ended, and in the end nothing is left or remembered', () => {
    const runs = fc.tuple(fc.array(candidates, { minLength: exchanges, maxLength: exchanges }), fc.array(event));
    fc.assert(
      fc.property(runs, ([opened, events]) => {
        const before = settled();
        for (const [i, addresses] of opened.entries()) open(`x${i}`, ...addresses);
        for (const happen of events) {
          happen();
          const model = ledger.tally.snapshot().inFlight.find(({ model }) => model === 'llama');
          assert.equal(totalInFlight(), model?.count);
        }
        for (let i = 0; i < exchanges; i++) ledger.ended(`x${i}`);
        assert.equal(totalInFlight(), 0);
        for (let times = 0; times < 3; times++) {
          nowMs += longAfterMs;
          ledger.expire(nowMs);
        }
        assert.equal(settled() - before, exchanges, 'each is settled once');
        assert.ok([...load.rows(nowMs)].every(({ reservedTokens }) => reservedTokens === 0));
      }),
      { numRuns: 300 },
    );
  });
});
