import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Engine } from './engine.ts';
import { type Delta, EngineClock } from './engine-clock.ts';

const LIMITS = { kvTokens: 16_000, maxSequences: 8, tokenBudget: 1000 };
/** Steps of 10 ms: shorter than a timer can measure once the scale is in the thousands. */
const engine = () => new Engine({ ...LIMITS, coefficients: { a: 10, b: 0, c: 0, d: 0, e: 0 } });

/** All that a sequence is told, until it is finished. */
function told(clock: EngineClock, promptTokens: number, outputTokens: number): Promise<Delta[]> {
  const deltas: Delta[] = [];
  return new Promise(resolve => {
    clock.submit(promptTokens, outputTokens, delta => {
      deltas.push(delta);
      if (delta.finished) resolve(deltas);
    });
  });
}

const sum = (deltas: readonly Delta[]) => deltas.reduce((total, { tokens }) => total + tokens, 0);

test('every sequence hears of all its tokens, at any scale', async () => {
  for (const scale of [2, 20, 1e6]) {
    const clock = new EngineClock(engine(), scale);
    const all = await Promise.all([
      told(clock, 10, 7),
      told(clock, 10, 300 * (scale > 20 ? 1 : 0.1)),
      told(clock, 5, 0),
    ]);
    assert.deepEqual(all.map(sum), [7, scale > 20 ? 300 : 30, 0]);
    assert.equal(clock.engine.running, 0);
  }
});

test('steps that the timer cannot tell apart are told together', async () => {
  const deltas = await told(new EngineClock(engine(), 1e6), 10, 300);
  assert.ok(deltas.length < 300);
});

test('never faster than the engine: the clock waits for each step', async () => {
  const clock = new EngineClock(engine(), 1);
  const startedMs = performance.now();
  await told(clock, 10, 5);
  assert.ok(performance.now() - startedMs >= 49, 'five steps of 10 ms');
});

test('an idle clock starts again', async () => {
  const clock = new EngineClock(engine(), 1000);
  assert.equal(sum(await told(clock, 1, 3)), 3);
  assert.equal(sum(await told(clock, 1, 4)), 4);
});

test('an aborted sequence hears nothing more, and the others do', async () => {
  const clock = new EngineClock(engine(), 1000);
  const other = told(clock, 1, 50);
  let heard = 0;
  // Too many tokens for one turn.
  const sequence = clock.submit(1, 5000, () => {
    heard++;
    clock.abort(sequence);
  });
  assert.equal(sum(await other), 50);
  assert.equal(heard, 1);
  assert.equal(sequence.state, 'aborted');
});

test('stop aborts everything', () => {
  const clock = new EngineClock(engine(), 1);
  const sequences = [1, 2, 3].map(() => clock.submit(1, 50, () => assert.fail('told after stop')));
  clock.stop();
  assert.deepEqual(new Set(sequences.map(({ state }) => state)), new Set(['aborted']));
  assert.equal(clock.engine.kvBlocks.used, 0);
});
