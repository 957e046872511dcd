import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { TokenCounts, WINDOW_MS } from './token-counts.ts';

const rows = 3;
const BUCKET_MS = 5_000;

describe('token counts', () => {
  it('equal what was processed within the window, whatever the pauses', () => {
    const event = fc.record({ row: fc.nat(rows - 1), tokens: fc.nat(1_000_000), waitedMs: fc.nat(90_000) });
    fc.assert(
      fc.property(fc.array(event, { maxLength: 100, size: 'max' }), events => {
        const counts = new TokenCounts(rows);
        const processed: { row: number; tokens: number; atMs: number }[] = [];
        let nowMs = 0;
        for (const { row, tokens, waitedMs } of events) {
          nowMs += waitedMs;
          counts.process(row, tokens, nowMs);
          processed.push({ row, tokens, atMs: nowMs });
          const newest = Math.floor(nowMs / BUCKET_MS);
          for (let each = 0; each < rows; each++) {
            const within = processed.filter(
              entry => entry.row === each && newest - Math.floor(entry.atMs / BUCKET_MS) < WINDOW_MS / BUCKET_MS,
            );
            const expected = within.reduce((sum, entry) => sum + entry.tokens, 0);
            assert.equal(counts.totals(nowMs)[each], expected);
          }
        }
      }),
    );
  });

  const forgetting: readonly (readonly [atMs: number, counted: number])[] = [
    [0, 7],
    [55_000, 7],
    [59_999, 7],
    [60_000, 0],
    [3_600_000, 0],
  ];
  for (const [atMs, counted] of forgetting) {
    it(`counts ${counted} of 7 tokens processed at 0 when asked at ${atMs} ms`, () => {
      const counts = new TokenCounts(1);
      counts.process(0, 7, 0);
      assert.equal(counts.totals(atMs)[0], counted);
    });
  }

  it('keeps reserved tokens however long they take', () => {
    const counts = new TokenCounts(1);
    counts.reserve(0, 100);
    counts.process(0, 7, 0);
    assert.equal(counts.totals(0)[0], 107);
    assert.equal(counts.totals(10 * WINDOW_MS)[0], 100);
    counts.reserve(0, -100);
    assert.equal(counts.totals(10 * WINDOW_MS)[0], 0);
  });

  it('takes a clock that steps back for standing still', () => {
    const counts = new TokenCounts(1);
    counts.process(0, 1, 100_000);
    counts.process(0, 2, 20_000);
    assert.equal(counts.totals(10_000)[0], 3);
    assert.equal(counts.totals(100_000 + WINDOW_MS)[0], 0);
  });

  it('refuses to give back more than is reserved', () => {
    const counts = new TokenCounts(1);
    counts.reserve(0, 5);
    assert.throws(() => counts.reserve(0, -6), /reserved/);
  });

  it('keeps its counts when it grows', () => {
    const counts = new TokenCounts(1);
    counts.process(0, 7, 0);
    counts.reserve(0, 3);
    counts.grow(1_000);
    counts.process(999, 5, 0);
    assert.deepEqual([counts.totals(0)[0], counts.totals(0)[999], counts.totals(0)[1]], [10, 5, 0]);
    assert.equal(counts.totals(WINDOW_MS)[0], 3);
  });
});
