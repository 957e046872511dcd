import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { EndpointLoad } from '../endpoint-load/endpoint-load.ts';
import type { Reservation } from '../endpoint-load/reservation.ts';
import { type ModelEntry, ModelIndex } from '../models/model-index.ts';
import { Picker } from './picker.ts';
import { mulberry32 } from './random.ts';
import { oneModel, type SampleBackend } from './sample-model.fixture.ts';

const facts = { promptTokens: 10, outputTokens: 10 };

function start(seed: number, backends: readonly SampleBackend[]) {
  const load = new EndpointLoad();
  const index = new ModelIndex(load);
  index.apply(oneModel(backends));
  const entry = index.resolve('model');
  assert.ok(entry);
  return { load, entry, picker: new Picker(load, mulberry32(seed)) };
}

function scores(load: EndpointLoad, entry: ModelEntry): Map<number, number> {
  return new Map(
    entry.backends.flatMap(({ config, slots }) =>
      slots.map(slot => [slot, load.inFlight(slot) / config.capacity] as const),
    ),
  );
}

describe('least request', () => {
  it('chooses a minimum at every pick, however requests begin, fail over and end', () => {
    const step = fc.record({ kind: fc.constantFrom('begin', 'begin', 'move', 'end'), which: fc.nat(1_000) });
    fc.assert(
      fc.property(fc.integer(), fc.array(step, { maxLength: 200, size: 'max' }), (seed, steps) => {
        const { load, entry, picker } = start(seed, [
          { name: 'fast', capacity: 3, endpoints: 3 },
          { name: 'slow', endpoints: 4 },
        ]);
        const open: { reservation: Reservation; slots: readonly number[] }[] = [];
        for (const { kind, which } of steps) {
          const claim = open[which % open.length];
          if (kind === 'end' && claim !== undefined) load.release(claim.reservation);
          if (kind === 'move' && claim !== undefined) load.move(claim.reservation, claim.slots[1] ?? -1, 0);
          if (kind !== 'begin') continue;
          const before = scores(load, entry);
          const pick = picker.pick(entry, 'least-request', facts, 0);
          assert.ok(pick);
          const chosen = pick.slots.map(slot => before.get(slot));
          assert.equal(chosen[0], Math.min(...before.values()), 'the first is a minimum of all');
          const rest = pick.backend.slots.filter(slot => slot !== pick.slots[0]).map(slot => before.get(slot) ?? 0);
          assert.deepEqual(
            chosen.slice(1),
            rest.sort((a, b) => a - b).slice(0, 2),
            'then those of its backend in order',
          );
          open.push({ reservation: load.reserve(pick.slots[0] ?? -1, 10, 0), slots: pick.slots });
        }
      }),
    );
  });

  it('spreads an idle fleet by lot, in proportion to capacity', () => {
    const { entry, picker } = start(1, [
      { name: 'fast', capacity: 3, endpoints: ['fast'] },
      { name: 'slow', endpoints: ['slow'] },
    ]);
    let fast = 0;
    for (let request = 0; request < 4_000; request++) {
      if (picker.pick(entry, 'least-request', facts, 0)?.backend.config.name === 'fast') fast++;
    }
    assert.ok(Math.abs(fast - 3_000) < 120, `${fast} of 4000`);
  });

  it('breaks a tie evenly, wherever the busy ones stand', () => {
    const { load, entry, picker } = start(1, [{ name: 'gpu', endpoints: 6 }]);
    const slots = entry.backends[0]?.slots ?? [];
    for (const at of [0, 1, 3]) load.reserve(slots[at] ?? -1, 10, 0);
    const counts = new Map<number, number>();
    for (let request = 0; request < 3_000; request++) {
      const slot = picker.pick(entry, 'least-request', facts, 0)?.slots[0] ?? -1;
      counts.set(slot, (counts.get(slot) ?? 0) + 1);
    }
    assert.deepEqual(new Set(counts.keys()), new Set([slots[2], slots[4], slots[5]]));
    for (const count of counts.values()) assert.ok(Math.abs(count - 1_000) < 120, `${count} of 3000`);
  });
});
