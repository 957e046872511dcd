import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { declinedDelayMs, reconnectDelayMs } from './backoff.ts';
import { declinedMaxMs, reconnectMaxMs, reconnectMinMs } from './limits.ts';

test('a delay is within its bounds however many attempts failed', () => {
  fc.assert(
    fc.property(
      fc.nat({ max: 5_000 }),
      fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
      (failures, random) => {
        const delayMs = reconnectDelayMs(failures, () => random);
        assert.ok(delayMs >= reconnectMinMs && delayMs <= reconnectMaxMs, String(delayMs));
      },
    ),
  );
});

test('delays grow, and are spread', () => {
  assert.ok(reconnectDelayMs(3, () => 0.5) > reconnectDelayMs(1, () => 0.5));
  assert.ok(reconnectDelayMs(3, () => 0.9) > reconnectDelayMs(3, () => 0.1));
});

test('who is declined comes at first as soon as anybody, in the end every 10 to 30 seconds', () => {
  assert.ok(declinedDelayMs(1, () => 1) <= reconnectMaxMs);
  for (const times of [6, 100, 5_000]) {
    assert.equal(
      declinedDelayMs(times, () => 0),
      declinedMaxMs / 3,
    );
    assert.equal(
      declinedDelayMs(times, () => 1),
      declinedMaxMs,
    );
  }
  assert.ok(declinedDelayMs(4, () => 0.5) > declinedDelayMs(2, () => 0.5));
});
