import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { EndpointLoad } from '../endpoint-load/endpoint-load.ts';
import { endpointName, ModelIndex } from '../models/model-index.ts';
import { Picker } from './picker.ts';
import { mulberry32 } from './random.ts';
import { oneModel, type SampleBackend } from './sample-model.fixture.ts';

const facts = { promptTokens: 10, outputTokens: 10 };

class Fleet {
  readonly load = new EndpointLoad();
  readonly picker = new Picker(this.load, mulberry32(1));
  readonly #index = new ModelIndex(this.load);

  constructor(backends: readonly SampleBackend[]) {
    this.list(backends);
  }

  list(backends: readonly SampleBackend[]): void {
    this.#index.apply(oneModel(backends));
  }

  get entry() {
    const entry = this.#index.resolve('model');
    assert.ok(entry);
    return entry;
  }

  eject(...names: string[]): void {
    for (const { slot, id } of this.load.rows(0)) {
      for (let failed = 0; names.includes(id) && failed < 3; failed++) this.load.attemptFailed(slot, 'status', 0);
    }
  }

  /** Names of all candidates; nothing is reserved. */
  pick(nowMs = 0): string[] | undefined {
    const pick = this.picker.pick(this.entry, 'least-request', facts, nowMs);
    return pick?.slots.map(slot => endpointName(pick.backend, slot));
  }

  /** How often each backend is chosen. */
  shares(picks: number): Record<string, number> {
    const counts: Record<string, number> = {};
    for (let request = 0; request < picks; request++) {
      const name = this.picker.pick(this.entry, 'random', facts, 0)?.backend.config.name ?? 'none';
      counts[name] = (counts[name] ?? 0) + 1;
    }
    return counts;
  }
}

function assertNear(actual: number | undefined, expected: number, tolerance: number): void {
  assert.ok(Math.abs((actual ?? 0) - expected) <= tolerance, `${actual} is not ${expected} ± ${tolerance}`);
}

describe('priorities', () => {
  const backends: readonly SampleBackend[] = [
    { name: 'cloud', priority: 1, endpoints: ['cloud'] },
    { name: 'own', priority: 0, endpoints: ['own-1', 'own-2'] },
  ];

  it('the first that has anything usable serves, and candidates are of it alone', () => {
    const fleet = new Fleet(backends);
    assert.deepEqual(fleet.pick()?.sort(), ['own-1', 'own-2']);
    fleet.eject('own-1');
    assert.deepEqual(fleet.pick(), ['own-2']);
    fleet.eject('own-2');
    assert.deepEqual(fleet.pick(), ['cloud']);
  });

  it('ejected endpoints are used when there is nothing else, the first priority first', () => {
    const fleet = new Fleet(backends);
    fleet.eject('own-1', 'own-2', 'cloud');
    assert.deepEqual(fleet.pick()?.sort(), ['own-1', 'own-2']);
  });

  it('draining endpoints are never used', () => {
    const fleet = new Fleet([{ name: 'own', endpoints: ['a', 'b'], draining: ['a'] }]);
    assert.deepEqual(fleet.pick(), ['b']);
    fleet.eject('b');
    assert.deepEqual(fleet.pick(), ['b']);
    fleet.list([{ name: 'own', endpoints: ['a', 'b'], draining: ['a', 'b'] }]);
    assert.equal(fleet.pick(), undefined);
    fleet.list([{ name: 'own', endpoints: [] }]);
    assert.equal(fleet.pick(), undefined);
  });

  it('an endpoint that is probed serves one request until its outcome is known', () => {
    const fleet = new Fleet([{ name: 'own', endpoints: ['a', 'b'] }]);
    fleet.eject('a');
    const slot = fleet.entry.backends[0]?.slots[0] ?? -1;
    const busy = fleet.entry.backends[0]?.slots[1] ?? -1;
    fleet.load.reserve(busy, 1, 0);
    assert.deepEqual(fleet.pick(4_999), ['b']);
    assert.deepEqual(fleet.pick(5_000), ['a', 'b']);
    fleet.load.reserve(slot, 1, 5_000);
    assert.deepEqual(fleet.pick(5_000), ['b']);
    fleet.load.attemptSucceeded(slot, 5_100);
    assert.deepEqual(fleet.pick(5_100)?.sort(), ['a', 'b']);
  });
});

describe('weights', () => {
  const canary = (stable: number, next: number): readonly SampleBackend[] => [
    { name: 'stable', weight: stable, endpoints: 5 },
    { name: 'next', weight: next, endpoints: 1, capacity: 10 },
  ];

  it('share requests whatever the number of endpoints and their capacity', () => {
    const { stable, next } = new Fleet(canary(90, 10)).shares(10_000);
    assertNear(stable, 9_000, 150);
    assertNear(next, 1_000, 150);
  });

  it('of what is usable: the others take over the share of a backend that has nothing', () => {
    const fleet = new Fleet(canary(90, 10));
    fleet.eject('stable-0', 'stable-1', 'stable-2', 'stable-3');
    assertNear(fleet.shares(10_000).stable, 9_000, 150);
    fleet.eject('stable-4');
    assert.deepEqual(fleet.shares(100), { next: 100 });
  });

  it('of 0 mean never, not even as a last resort', () => {
    const fleet = new Fleet(canary(0, 1));
    assert.deepEqual(fleet.shares(100), { next: 100 });
    fleet.eject('next-0');
    assert.deepEqual(fleet.shares(100), { next: 100 });
    fleet.list(canary(0, 0));
    assert.deepEqual(fleet.shares(1), { none: 1 });
  });

  it('absent: by endpoints and their capacity', () => {
    const { fast, slow } = new Fleet([
      { name: 'fast', endpoints: 2, capacity: 3 },
      { name: 'slow', endpoints: 4 },
    ]).shares(10_000);
    assertNear(fast, 6_000, 200);
    assertNear(slow, 4_000, 200);
  });
});

describe('explain', () => {
  it('shows every endpoint with its load, score and what speaks against it', () => {
    const fleet = new Fleet([
      { name: 'spare', priority: 1, endpoints: ['spare'] },
      { name: 'fast', capacity: 2, endpoints: ['f1', 'f2'], draining: ['f2'] },
      { name: 'slow', endpoints: ['s1', 's2'] },
    ]);
    fleet.eject('s1', 's2');
    for (const slot of fleet.entry.backends.flatMap(backend => backend.slots)) fleet.load.reserve(slot, 1, 0);
    const s2 = fleet.entry.backends[2]?.slots[1] ?? -1;
    fleet.load.reserve(s2, 1, 5_000);
    const shown = fleet.picker.explain(fleet.entry, 'least-request', 4_000);
    assert.deepEqual(shown, [
      {
        endpoint: 'f1',
        address: 'f1:8000',
        backend: 'fast',
        priority: 0,
        inFlight: 1,
        score: 0.5,
        unusable: undefined,
      },
      {
        endpoint: 'f2',
        address: 'f2:8000',
        backend: 'fast',
        priority: 0,
        inFlight: 1,
        score: 0.5,
        unusable: 'draining',
      },
      { endpoint: 's1', address: 's1:8000', backend: 'slow', priority: 0, inFlight: 1, score: 1, unusable: 'ejected' },
      { endpoint: 's2', address: 's2:8000', backend: 'slow', priority: 0, inFlight: 2, score: 2, unusable: 'ejected' },
      {
        endpoint: 'spare',
        address: 'spare:8000',
        backend: 'spare',
        priority: 1,
        inFlight: 1,
        score: 1,
        unusable: undefined,
      },
    ]);
    const later = fleet.picker.explain(fleet.entry, 'least-request', 5_000);
    assert.deepEqual(
      later.filter(view => view.backend === 'slow').map(view => view.unusable),
      [undefined, 'probing'],
    );
  });

  it('shows a backend that gets no share, and no score where the strategy does not compare', () => {
    const fleet = new Fleet([
      { name: 'old', weight: 0, endpoints: ['o'] },
      { name: 'new', weight: 1, endpoints: ['n'] },
    ]);
    assert.deepEqual(
      fleet.picker.explain(fleet.entry, 'shuffle', 0).map(view => [view.endpoint, view.score, view.unusable]),
      [
        ['n', undefined, undefined],
        ['o', undefined, 'no-share'],
      ],
    );
  });

  it('scores throughput by tokens', () => {
    const fleet = new Fleet([{ name: 'gpu', capacity: 2, endpoints: ['a'] }]);
    fleet.load.reserve(fleet.entry.backends[0]?.slots[0] ?? -1, 300, 0);
    assert.equal(fleet.picker.explain(fleet.entry, 'throughput', 0)[0]?.score, 150);
  });
});
