import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { waits } from './waits.ts';

test('the usual timeouts, headers and gaps alike, need one clock', () => {
  assert.deepEqual(waits({ requestMs: 600_000, headersMs: 60_000, idleMs: 60_000 }, 2), {
    requestMs: 600_000,
    streamIdleMs: 0,
    attemptMs: 0,
    attemptIdleMs: 60_000,
  });
});

test('gaps longer than the wait for headers are bounded by the stream', () => {
  assert.deepEqual(waits({ requestMs: 600_000, headersMs: 10_000, idleMs: 60_000 }, 2), {
    requestMs: 600_000,
    streamIdleMs: 60_000,
    attemptMs: 10_000,
    attemptIdleMs: 0,
  });
});

const milliseconds = fc.integer({ min: 0, max: 3_600_000 });
const timeouts = fc.record({ requestMs: milliseconds, headersMs: milliseconds, idleMs: milliseconds });

test('an attempt may wait for headers exactly as long as the model says', () => {
  fc.assert(
    fc.property(timeouts, fc.nat({ max: 2 }), (model, retries) => {
      const { attemptMs, attemptIdleMs } = waits(model, retries);
      const strikes = [attemptMs, attemptIdleMs].filter(ms => ms > 0);
      assert.deepEqual(strikes, model.headersMs > 0 ? [model.headersMs] : []);
    }),
  );
});

test('no clock cuts a gap that the model allows, nor a stream whose attempts still wait', () => {
  fc.assert(
    fc.property(timeouts, fc.nat({ max: 2 }), (model, retries) => {
      const { streamIdleMs, attemptIdleMs } = waits(model, retries);
      for (const ms of [streamIdleMs, attemptIdleMs].filter(each => each > 0)) assert.ok(ms >= model.idleMs);
      if (streamIdleMs > 0) assert.ok(streamIdleMs > model.headersMs * (1 + retries));
    }),
  );
});

test('a model with a longest gap always has a clock for it', () => {
  fc.assert(
    fc.property(timeouts, fc.nat({ max: 2 }), (model, retries) => {
      const { streamIdleMs, attemptIdleMs } = waits(model, retries);
      assert.equal(streamIdleMs > 0 || attemptIdleMs > 0, model.idleMs > 0);
    }),
  );
});
