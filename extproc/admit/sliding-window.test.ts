import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import { bucketAt, SlidingWindow } from './sliding-window.ts';

const periodMs = 1_000;

const step = fc.record({
  elapsedMs: fc.oneof({ weight: 20, arbitrary: fc.nat(30) }, { weight: 1, arbitrary: fc.nat(1_500) }),
  amount: fc.nat(9),
  /** How long ago what is given back was taken. */
  backMs: fc.nat(1_100),
  back: fc.nat(3),
});

it('keeps the amount of each bucket through many periods, and only of those that are counted', () => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 200, maxLength: 600, size: 'max' }), steps => {
      const window = new SlidingWindow(periodMs);
      const amounts = new Map<number, number>();
      let steadyMs = 1_790_000_000_000;
      for (const { elapsedMs, amount, backMs, back } of steps) {
        steadyMs += elapsedMs;
        const now = { steadyMs, wallMs: steadyMs };
        const current = bucketAt(steadyMs, periodMs);
        window.add(amount, now);
        amounts.set(current, (amounts.get(current) ?? 0) + amount);
        window.giveBack(back, steadyMs - backMs, now);
        const from = bucketAt(steadyMs - backMs, periodMs);
        amounts.set(from, Math.max(0, (amounts.get(from) ?? 0) - back));

        const counted = [...amounts]
          .filter(([bucket, held]) => bucket >= current - 60 && held > 0)
          .sort(([a], [b]) => a - b);
        assert.equal(
          window.used(now),
          counted.reduce((sum, [, held]) => sum + held, 0),
        );
        assert.deepEqual(window.pairs(), counted.flat());
        assert.deepEqual(new SlidingWindow(periodMs, window.pairs()).pairs(), window.pairs());
      }
    }),
    { numRuns: 20 },
  );
});
