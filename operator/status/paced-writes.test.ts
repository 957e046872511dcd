import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import fc from 'fast-check';
import { PacedWrites, type WriteOutcome } from './paced-writes.ts';

const DONE: WriteOutcome = { kind: 'done' };

/** Writes that begin when they may and end when the test says so. */
function pacing(t: TestContext) {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  t.mock.method(Math, 'random', () => 1);
  const begun: string[] = [];
  const pauses: number[] = [];
  const underWay: ((outcome: WriteOutcome) => void)[] = [];
  const stopped = new AbortController();
  const writes = new PacedWrites({
    write: key => {
      begun.push(key);
      return new Promise(resolve => underWay.push(resolve));
    },
    signal: stopped.signal,
    onPause: delayMs => pauses.push(delayMs),
  });
  const end = async (outcome: WriteOutcome = DONE) => {
    for (const resolve of underWay.splice(0)) resolve(outcome);
    await new Promise(resolve => setImmediate(resolve));
  };
  const tick = (ms: number) => t.mock.timers.tick(ms);
  return { writes, begun, pauses, stopped, end, tick, take: () => begun.splice(0).join(' ') };
}

test('the first write begins at once, and all that is asked for within a second is one more', async t => {
  const { writes, end, tick, take } = pacing(t);
  for (let i = 0; i < 100; i++) writes.request('a');
  assert.equal(take(), 'a');
  writes.request('a');
  await end();
  assert.equal(take(), '', 'not before the second is over');
  tick(1_000);
  assert.equal(take(), 'a');
  await end();
  tick(10_000);
  assert.equal(take(), '', 'nothing was asked for');
  writes.request('a');
  assert.equal(take(), 'a', 'after a rest it is at once again');
});

test('what is asked for during a slow write is written after it, never beside it', async t => {
  const { writes, end, tick, take } = pacing(t);
  writes.request('a');
  tick(5_000);
  writes.request('a');
  assert.equal(take(), 'a');
  await end();
  assert.equal(take(), 'a');
});

test('eight are under way at a time, the others wait for their turn', async t => {
  const { writes, end, take } = pacing(t);
  for (let i = 0; i < 20; i++) writes.request(String(i));
  assert.equal(take(), '0 1 2 3 4 5 6 7');
  await end();
  assert.equal(take(), '8 9 10 11 12 13 14 15');
  await end();
  assert.equal(take(), '16 17 18 19');
});

test('a failure costs its key a longer wait each time, and the others nothing', async t => {
  const { writes, end, tick, take } = pacing(t);
  writes.request('a');
  for (const delayMs of [1_000, 1_000, 2_000]) {
    assert.equal(take(), 'a');
    await end({ kind: 'failed' });
    writes.request(`after ${delayMs}`);
    assert.equal(take(), `after ${delayMs}`);
    await end();
    tick(delayMs - 1);
    assert.equal(take(), '');
    tick(1);
  }
});

test('a server that is away is left alone, then asked by one write until it is back', async t => {
  const { writes, pauses, end, tick, take } = pacing(t);
  for (let i = 0; i < 9; i++) writes.request(String(i));
  assert.equal(take(), '0 1 2 3 4 5 6 7');
  await end({ kind: 'unavailable' });
  assert.deepEqual(pauses, [500]);
  tick(500);
  assert.equal(take(), '8');
  await end({ kind: 'unavailable', retryAfterMs: 3_000 });
  assert.deepEqual(pauses, [500, 3_000]);
  tick(2_999);
  assert.equal(take(), '');
  tick(1);
  assert.equal(take(), '0');
  await end();
  assert.equal(take(), '1 2 3 4 5 6 7 8');
});

test('nothing begins once it is stopped', async t => {
  const { writes, stopped, end, tick, take } = pacing(t);
  for (let i = 0; i < 9; i++) writes.request(String(i));
  assert.equal(take(), '0 1 2 3 4 5 6 7');
  stopped.abort();
  await end({ kind: 'failed' });
  writes.request('x');
  tick(60_000);
  assert.equal(take(), '');
});

test('whatever fails, the last that was asked for is written, and no key twice in a second', async t => {
  t.mock.timers.enable({ apis: ['setTimeout', 'Date'] });
  const outcome = fc.constantFrom<WriteOutcome[]>(DONE, DONE, { kind: 'failed' }, { kind: 'unavailable' });
  const step = fc.record({ key: fc.constantFrom('a', 'b', 'c'), afterMs: fc.nat(700), outcome, slow: fc.boolean() });
  const next = () => new Promise(resolve => setImmediate(resolve));
  const check = async (steps: { key: string; afterMs: number; outcome: WriteOutcome; slow: boolean }[]) => {
    const wanted = new Map<string, number>();
    const written = new Map<string, number>();
    const begunAtMs = new Map<string, number>();
    const gapsMs: number[] = [];
    const outcomes = steps.map(({ outcome, slow }) => ({ outcome, slow }));
    const writes = new PacedWrites({
      write: async key => {
        const nowMs = Date.now();
        gapsMs.push(nowMs - (begunAtMs.get(key) ?? Number.NEGATIVE_INFINITY));
        begunAtMs.set(key, nowMs);
        const value = wanted.get(key) ?? assert.fail();
        const { outcome, slow } = outcomes.shift() ?? { outcome: DONE, slow: false };
        if (slow) await new Promise<void>(resolve => setTimeout(resolve, 1_500));
        if (outcome.kind === 'done') written.set(key, value);
        return outcome;
      },
      signal: new AbortController().signal,
      onPause: () => {},
    });
    for (const [value, { key, afterMs }] of steps.entries()) {
      wanted.set(key, value);
      writes.request(key);
      t.mock.timers.tick(afterMs);
      await next();
    }
    for (let i = 0; i < 400; i++) {
      t.mock.timers.tick(1_000);
      await next();
    }
    assert.deepEqual(written, new Map([...written.keys()].map(key => [key, wanted.get(key)])));
    assert.equal(written.size, wanted.size);
    assert.ok(Math.min(...gapsMs) >= 1_000);
  };
  await fc.assert(fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 30 }), check), { numRuns: 50 });
});
