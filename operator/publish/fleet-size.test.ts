import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { FALL_MS, FleetSize } from './fleet-size.ts';

/** What a fleet was, as [after so many milliseconds, agents connected]. */
function fleet(...history: readonly (readonly [number, number])[]): FleetSize {
  const size = new FleetSize();
  for (const [atMs, agents] of history) size.connected(agents, atMs);
  return size;
}

test('it is 1 before anybody connected', () => {
  assert.equal(new FleetSize().at(0), 1);
  assert.equal(new FleetSize().fallsAtMs(0), Number.POSITIVE_INFINITY);
});

const restart = fleet([0, 3], [100, 2], [5_000, 3]);
const smaller = fleet([0, 3], [100, 1], [40_000, 2]);

const table: readonly [string, FleetSize, readonly (readonly [atMs: number, size: number])[]][] = [
  ['it rises at once', fleet([0, 1], [10, 4]), [[10, 4]]],
  [
    'an agent that restarts changes nothing',
    restart,
    [
      [4_999, 3],
      [5_000, 3],
      [70_000, 3],
    ],
  ],
  [
    'it falls a minute after agents went, to those of that minute',
    smaller,
    [
      [60_099, 3],
      [60_100, 2],
    ],
  ],
  [
    'the last one that went leaves 1',
    fleet([0, 2], [7, 0]),
    [
      [60_006, 2],
      [60_007, 1],
    ],
  ],
];

for (const [what, size, moments] of table) {
  test(what, () => {
    assert.deepEqual(
      moments.map(([atMs]) => [atMs, size.at(atMs)]),
      moments,
    );
  });
}

test('it is the most that were connected within the last minute, and falls when it says', () => {
  const history = fc.array(fc.record({ afterMs: fc.nat(50_000), agents: fc.nat(5) }), { maxLength: 12 });
  fc.assert(
    fc.property(history, fc.nat(150_000), (steps, laterMs) => {
      const size = new FleetSize();
      const spans = [{ agents: 0, fromMs: 0 }];
      let nowMs = 0;
      for (const { afterMs, agents } of steps) {
        nowMs += afterMs;
        size.connected(agents, nowMs);
        spans.push({ agents, fromMs: nowMs });
      }
      const most = (atMs: number) => {
        const recent = spans.filter(
          (_, index) => (spans[index + 1]?.fromMs ?? Number.POSITIVE_INFINITY) > atMs - FALL_MS,
        );
        return Math.max(1, ...recent.map(({ agents }) => agents));
      };
      const atMs = nowMs + laterMs;
      assert.equal(size.at(atMs), most(atMs));
      const fallsAtMs = size.fallsAtMs(atMs);
      if (fallsAtMs === Number.POSITIVE_INFINITY) assert.equal(size.at(atMs + 10 * FALL_MS), size.at(atMs));
      else {
        assert.ok(fallsAtMs > atMs);
        assert.equal(size.at(fallsAtMs - 1), size.at(atMs));
      }
    }),
    { numRuns: 1_000 },
  );
});
