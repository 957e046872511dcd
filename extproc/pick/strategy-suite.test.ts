import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { EndpointLoad } from '../endpoint-load/endpoint-load.ts';
import { endpointName, type ModelEntry, ModelIndex } from '../models/model-index.ts';
import { type Pick, Picker } from './picker.ts';
import { mulberry32 } from './random.ts';
import { oneModel, type SampleBackend } from './sample-model.fixture.ts';
import { STRATEGY_NAMES, type StrategyName } from './strategy-name.ts';

const facts = { promptTokens: 10, outputTokens: 10 };

/** A table of up to four backends; of one priority, either all have weights or none. */
const table = fc
  .tuple(
    fc.array(
      fc.record({
        endpoints: fc.uniqueArray(fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f'), { maxLength: 6, size: 'max' }),
        draining: fc.subarray(['a', 'b', 'c']),
        capacity: fc.constantFrom(0.5, 1, 1, 3),
        priority: fc.nat(2),
        weight: fc.constantFrom(0, 1, 9),
      }),
      { minLength: 1, maxLength: 4, size: 'max' },
    ),
    fc.array(fc.boolean(), { minLength: 3, maxLength: 3 }),
  )
  .map(([backends, weighted]) =>
    backends.map(({ weight, endpoints, draining, ...backend }, index): SampleBackend => {
      const name = `backend-${index}`;
      const own = (ids: readonly string[]) => ids.map(id => `${name}-${id}`);
      const share = weighted[backend.priority] ? { weight } : {};
      return { ...backend, ...share, name, endpoints: own(endpoints), draining: own(draining) };
    }),
  );

/** What happens to a fleet: the table changes, or an attempt fails, or time passes, or requests arrive. */
const event = fc.oneof(
  table.map(backends => ({ kind: 'table', backends }) as const),
  fc.nat(100).map(victim => ({ kind: 'eject', victim }) as const),
  fc.nat(8_000).map(ms => ({ kind: 'wait', ms }) as const),
  { weight: 3, arbitrary: fc.nat(8).map(requests => ({ kind: 'requests', requests }) as const) },
);

class Fleet {
  readonly load = new EndpointLoad();
  readonly index = new ModelIndex(this.load);
  readonly picker: Picker;
  nowMs = 0;

  constructor(seed: number, backends: readonly SampleBackend[], retryAttempts = 2) {
    this.picker = new Picker(this.load, mulberry32(seed));
    this.index.apply(oneModel(backends, retryAttempts));
  }

  get entry(): ModelEntry {
    const entry = this.index.resolve('model');
    assert.ok(entry);
    return entry;
  }

  /** Picks and reserves, as an exchange does. */
  request(strategy: StrategyName): Pick | undefined {
    const pick = this.picker.pick(this.entry, strategy, facts, this.nowMs);
    if (pick !== undefined) this.load.reserve(pick.slots[0] ?? -1, 20, this.nowMs);
    return pick;
  }

  eject(slot: number): void {
    for (let failed = 0; failed < 3; failed++) this.load.attemptFailed(slot, 'connect', this.nowMs);
  }
}

/** Backends that may get anything: all but those of weight 0 where all backends of the priority have weights. */
function withShare(entry: ModelEntry) {
  return entry.backends.filter(({ config }) => {
    const peers = entry.backends.filter(other => other.config.priority === config.priority);
    return config.weight !== 0 || peers.some(other => other.config.weight === undefined);
  });
}

function checkPick(fleet: Fleet, strategy: StrategyName): void {
  const { entry, load, nowMs } = fleet;
  const candidates = withShare(entry).flatMap(backend => backend.slots.map(slot => ({ backend, slot })));
  const allowed = candidates.filter(({ slot }) => !load.isDraining(slot));
  const usable = allowed.filter(({ slot }) => load.isUsable(slot, nowMs));
  const eligible = usable.length > 0 ? usable : allowed;
  const priority = Math.min(...eligible.map(({ backend }) => backend.config.priority));
  const pick = fleet.request(strategy);
  if (eligible.length === 0) {
    assert.equal(pick, undefined, 'nothing is eligible');
    return;
  }
  assert.ok(pick, 'something is eligible');
  assert.ok(entry.backends.includes(pick.backend));
  assert.equal(pick.backend.config.priority, priority);
  const ofBackend = eligible.filter(({ backend }) => backend === pick.backend).map(({ slot }) => slot);
  assert.equal(new Set(pick.slots).size, pick.slots.length, 'all different');
  for (const slot of pick.slots) assert.ok(ofBackend.includes(slot), 'eligible and of the chosen backend');
  assert.equal(pick.slots.length, Math.min(3, ofBackend.length));
}

/** How many of `picks` requests each endpoint got; none of them ends. */
function shares(fleet: Fleet, strategy: StrategyName, picks: number): Map<string, number> {
  const counts = new Map<string, number>();
  for (let request = 0; request < picks; request++) {
    const pick = fleet.request(strategy) ?? assert.fail('nothing to pick');
    const name = endpointName(pick.backend, pick.slots[0] ?? -1);
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return counts;
}

for (const strategy of STRATEGY_NAMES) {
  describe(`strategy ${strategy}`, () => {
    it('picks only what may be picked, through changes of the table, ejections and load', () => {
      fc.assert(
        fc.property(fc.integer(), table, fc.array(event, { maxLength: 40, size: 'max' }), (seed, backends, events) => {
          const fleet = new Fleet(seed, backends);
          for (const event of events) {
            if (event.kind === 'table') fleet.index.apply(oneModel(event.backends));
            if (event.kind === 'wait') fleet.nowMs += event.ms;
            if (event.kind === 'eject') {
              const slots = fleet.entry.backends.flatMap(backend => backend.slots);
              if (slots.length > 0) fleet.eject(slots[event.victim % slots.length] ?? -1);
            }
            for (let request = 0; event.kind === 'requests' && request < event.requests; request++) {
              checkPick(fleet, strategy);
            }
          }
        }),
      );
    });

    for (const [retryAttempts, candidates] of [
      [0, 1],
      [1, 2],
      [2, 3],
      [9, 3],
    ] as const) {
      it(`names ${candidates} candidates where a model has ${retryAttempts} retries`, () => {
        const fleet = new Fleet(1, [{ name: 'gpu', endpoints: 5 }], retryAttempts);
        assert.equal(fleet.request(strategy)?.slots.length, candidates);
      });
    }

    it('gives every endpoint its share, retries or not', () => {
      for (const retryAttempts of [0, 2]) {
        const fleet = new Fleet(1, [{ name: 'gpu', endpoints: 10 }], retryAttempts);
        const counts = [...shares(fleet, strategy, 1_000).values()];
        assert.equal(counts.length, 10);
        const tolerance = strategy === 'random' ? 40 : 0;
        for (const count of counts) assert.ok(Math.abs(count - 100) <= tolerance, `${count} of 1000`);
      }
    });

    it(`gives ${strategy === 'shuffle' ? 'the same' : 'thrice as much'} to an endpoint with thrice the capacity`, () => {
      const fleet = new Fleet(1, [
        { name: 'fast', endpoints: ['fast'], capacity: 3 },
        { name: 'slow', endpoints: ['slow'] },
      ]);
      const fast = shares(fleet, strategy, 1_000).get('fast') ?? 0;
      const tolerance = strategy === 'random' ? 50 : 1;
      assert.ok(Math.abs(fast - (strategy === 'shuffle' ? 500 : 750)) <= tolerance, `${fast} of 1000`);
    });

    it('starts with another endpoint in another process', () => {
      const firsts = new Set<number | undefined>();
      for (let seed = 0; seed < 50; seed++) {
        firsts.add(new Fleet(seed, [{ name: 'gpu', endpoints: 4 }]).request(strategy)?.slots[0]);
      }
      assert.equal(firsts.size, 4);
    });

    it('picks alike from a like seed', () => {
      const [one, other] = [7, 7].map(seed => {
        const fleet = new Fleet(seed, [{ name: 'gpu', endpoints: 5 }]);
        return Array.from({ length: 50 }, () => fleet.request(strategy)?.slots);
      });
      assert.deepEqual(one, other);
    });

    it('serves two models on the same pods without mixing them up', () => {
      const fleet = new Fleet(3, [{ name: 'gpu', endpoints: 4 }]);
      const delta = oneModel([{ name: 'gpu', endpoints: 4 }]);
      fleet.index.apply({
        ...delta,
        models: delta.models.map(([, model]) => ['ml/other', { ...model, names: ['other'] }]),
        endpoints: delta.endpoints.map(([, group]) => ['ml/other/gpu', group]),
      });
      const other = fleet.index.resolve('other');
      assert.ok(other);
      for (let request = 0; request < 20; request++) {
        checkPick(fleet, strategy);
        const pick = fleet.picker.pick(other, strategy, facts, 0);
        assert.equal(pick?.backend, other.backends[0]);
      }
    });
  });
}
