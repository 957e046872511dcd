import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { reconnectDelayMs } from './backoff.ts';
import { reconnectMaxMs, reconnectMinMs } from './limits.ts';

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
