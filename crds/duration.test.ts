import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { duration, durationMs } from './duration.ts';

test('a duration is the sum of its parts, in milliseconds', () => {
  const cases: [string, number][] = [
    ['1ms', 1],
    ['5s', 5_000],
    ['600s', 600_000],
    ['1m30s', 90_000],
    ['1h1m1s1ms', 3_661_001],
    ['24h', 86_400_000],
  ];
  for (const [text, milliseconds] of cases) assert.equal(durationMs(text), milliseconds, text);
});

test('every duration of whole units within a day is accepted and means itself', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 86_400 }), seconds => {
      assert.ok(duration().safeParse(`${seconds}s`).success);
      assert.equal(durationMs(`${seconds}s`), seconds * 1000);
    }),
  );
});

test('what is no duration is refused', () => {
  for (const text of ['', '5', '-5s', '1.5s', '5 s', '5sec', '0s', '0h0m', '24h1ms', '100000s', 's', '1d']) {
    assert.ok(!duration().safeParse(text).success, text);
  }
});
