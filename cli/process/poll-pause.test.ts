import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { pollPauseMs } from './poll-pause.ts';

suite('the pause before a question is asked again', () => {
  for (const [when, tookMs, steadyMs, pauseMs] of [
    ['something changed just now', 2, 0, 100],
    ['nothing changed for 5 s', 2, 5_000, 500],
    ['nothing changed for long', 2, 600_000, 1_000],
    ['the answer took long, though something changed', 270, 0, 2_700],
    ['there was none', 2_000, 600_000, 20_000],
  ] as const) {
    test(`${when}: ${pauseMs} ms`, () => assert.equal(pollPauseMs({ tookMs, steadyMs }), pauseMs));
  }

  test('answers never fill more than a tenth of the time, nor come more often than ten times a second', () => {
    const ms = fc.double({ min: 0, max: 1e6, noNaN: true });
    fc.assert(
      fc.property(ms, ms, (tookMs, steadyMs) => {
        const pauseMs = pollPauseMs({ tookMs, steadyMs });
        assert.ok(pauseMs >= 100 && pauseMs >= 10 * tookMs && pauseMs <= Math.max(1_000, 10 * tookMs));
      }),
    );
  });
});
