import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import type { ApiRequest, Reply } from '../api/api-connection.ts';
import { DEFAULT_TIMING, type LeaderState } from './candidate.ts';
import { Election } from './election.ts';
import { LeaseServer } from './lease-server.fixture.ts';
import { VirtualTime } from './virtual-time.fixture.ts';

/** How a request fares: both ways take time, and either can lose it. */
interface Journey {
  readonly thereMs: number;
  readonly backMs: number;
  readonly lost: 'no' | 'there' | 'back';
}

const FAST: Journey = { thereMs: 5, backMs: 5, lost: 'no' };

/** Candidates for one lease in virtual time. */
class World {
  readonly time = new VirtualTime();
  readonly server = new LeaseServer();
  readonly candidates: Candidate[] = [];

  candidate(name: string, { rate = 1, offsetMs = 0, journey = (): Journey => FAST } = {}): Candidate {
    const candidate = new Candidate(this, name, rate, offsetMs, journey);
    this.candidates.push(candidate);
    return candidate;
  }

  leaders(): string[] {
    return this.candidates.filter(({ state }) => state === 'leading').map(({ name }) => name);
  }

  /** @throws when two lead at any moment */
  async run(untilMs: number): Promise<void> {
    await this.time.run(untilMs, () => {
      const leaders = this.leaders();
      assert.ok(leaders.length < 2, `${leaders} lead at ${this.time.nowMs} ms`);
    });
  }

  send({ method, body }: ApiRequest, signal: AbortSignal, { thereMs, backMs, lost }: Journey): Promise<Reply> {
    const { promise, resolve, reject } = Promise.withResolvers<Reply>();
    // Whoever gives up does not call back what is on its way.
    signal.addEventListener('abort', () => reject(signal.reason));
    if (lost === 'there') return promise;
    this.time.at(this.time.nowMs + thereMs, () => {
      const reply = this.server.handle({ method, body });
      if (lost === 'no') this.time.at(this.time.nowMs + backMs, () => resolve(reply));
    });
    return promise;
  }
}

class Candidate {
  readonly name: string;
  readonly told: LeaderState[] = [];
  readonly ended: Promise<void>;
  readonly failures: string[] = [];
  readonly doubtsMs: number[] = [];
  readonly #abort = new AbortController();
  readonly #election: Election;
  #crashed = false;

  constructor(world: World, name: string, rate: number, offsetMs: number, journey: () => Journey) {
    this.name = name;
    this.#election = new Election({
      api: {
        send: (request, signal) => world.send(request, signal, this.#crashed ? { ...FAST, lost: 'there' } : journey()),
      },
      lease: { namespace: 'fairlead', name: 'fairlead' },
      identity: name,
      signal: this.#abort.signal,
      onState: state => this.told.push(state),
      onDoubt: () => this.doubtsMs.push(world.time.nowMs),
      onEvent: event => event.event === 'leader.lease_failed' && this.failures.push(event.reason),
      clock: world.time.clock(rate, offsetMs, () => this.#crashed),
    });
    this.ended = this.#election.ended;
  }

  get state(): LeaderState {
    return this.#crashed ? 'standby' : this.#election.state;
  }

  /** As a process that is killed: what it sent is on its way. */
  crash(): void {
    this.#crashed = true;
  }

  stop(): void {
    this.#abort.abort();
  }
}

suite('an election', () => {
  test('one leads, the other waits; killed hard, it is followed within 20 s', async () => {
    const world = new World();
    const first = world.candidate('a');
    await world.run(100);
    const second = world.candidate('b', { offsetMs: 1e9 });
    await world.run(60_000);
    assert.deepEqual([first.told, second.told], [['leading'], []]);
    first.crash();
    await world.run(72_000);
    assert.deepEqual(world.leaders(), []);
    await world.run(80_000);
    assert.deepEqual(world.leaders(), ['b']);
    assert.equal(world.server.object?.spec.leaseTransitions, 1);
  });

  test('given up, it is followed at once', async () => {
    const world = new World();
    const first = world.candidate('a');
    await world.run(100);
    world.candidate('b');
    await world.run(60_000);
    first.stop();
    assert.equal(first.state, 'standby');
    assert.deepEqual(first.told, ['leading', 'standby']);
    await world.run(61_100);
    await first.ended;
    assert.deepEqual(world.leaders(), ['b']);
  });

  test('with the API server away for a minute it is suspended, and one leads when that is back', async () => {
    const world = new World();
    let away = false;
    const journey = (): Journey => (away ? { ...FAST, lost: 'there' } : FAST);
    const first = world.candidate('a', { journey });
    await world.run(100);
    world.candidate('b', { journey });
    await world.run(30_000);
    away = true;
    await world.run(42_000);
    assert.equal(first.state, 'suspended');
    assert.deepEqual(first.failures, ['no answer for 5 s'], 'told once');
    await world.run(90_000);
    assert.deepEqual(first.doubtsMs, []);
    away = false;
    await world.run(120_000);
    assert.equal(world.leaders().length, 1);
    assert.deepEqual(first.told.slice(0, 2), ['leading', 'suspended']);
  });

  test('cut off alone, it is suspended before another leads, and learns of that one afterwards', async () => {
    const world = new World();
    let cut = false;
    const first = world.candidate('a', { journey: () => (cut ? { ...FAST, lost: 'there' } : FAST) });
    await world.run(100);
    const second = world.candidate('b');
    await world.run(30_000);
    cut = true;
    await world.run(60_000);
    assert.equal(first.state, 'suspended');
    assert.equal(second.state, 'leading');
    cut = false;
    await world.run(70_000);
    assert.deepEqual(first.told, ['leading', 'suspended', 'standby']);
  });

  test('with the API server away for long it doubts whether it leads, ever more seldom', async () => {
    const world = new World();
    let away = false;
    const journey = (): Journey => (away ? { ...FAST, lost: 'there' } : FAST);
    const only = world.candidate('a', { journey });
    await world.run(100);
    away = true;
    await world.run(3 * 3_600_000);
    const suspendedMs = 10_000;
    const minutes = only.doubtsMs.map(ms => Math.round((ms - suspendedMs) / 60_000));
    assert.deepEqual(minutes, [1, 3, 7, 15, 31]);
    away = false;
    await world.run(4 * 3_600_000);
    assert.deepEqual(only.told, ['leading', 'suspended', 'leading']);
    assert.equal(only.doubtsMs.length, 5);
  });

  test('an answer that was long on its way prolongs nothing', async () => {
    const world = new World();
    let journey = FAST;
    const first = world.candidate('a', { journey: () => journey });
    await world.run(19_000);
    journey = { ...FAST, backMs: 4_000 };
    // The renewals of 20 s and 24 s are answered, no other.
    await world.run(27_000);
    journey = { ...FAST, lost: 'there' };
    await world.run(33_900);
    assert.equal(first.state, 'leading');
    await world.run(34_100);
    assert.equal(first.state, 'suspended');
  });

  test('a person who deletes the lease takes it from nobody', async () => {
    const world = new World();
    const first = world.candidate('a');
    await world.run(100);
    const second = world.candidate('b');
    await world.run(30_000);
    world.server.object = undefined;
    await world.run(60_000);
    assert.deepEqual([first.told, second.told], [['leading'], []]);
  });

  test('a person who gives it to somebody unknown has it back after a lease', async () => {
    const world = new World();
    const first = world.candidate('a');
    await world.run(30_000);
    world.server.edit({ holderIdentity: 'nobody', leaseDurationSeconds: null, renewTime: 'garbage' });
    await world.run(35_000);
    assert.equal(first.state, 'standby');
    await world.run(50_000);
    assert.deepEqual(first.told, ['leading', 'standby', 'leading']);
  });

  test('a stop while the lease is being taken leaves it to others', async () => {
    const world = new World();
    const first = world.candidate('a', { journey: () => ({ ...FAST, thereMs: 1_000 }) });
    // The lease is read, and the request to create it is on its way.
    await world.run(1_500);
    first.stop();
    await world.run(20_000);
    await first.ended;
    assert.deepEqual(first.told, []);
    assert.equal(world.server.object?.spec.holderIdentity, '');
  });
});

const journeys = fc.oneof(
  { weight: 12, arbitrary: fc.constant(FAST) },
  {
    weight: 3,
    arbitrary: fc.record({
      thereMs: fc.integer({ min: 0, max: 9_000 }),
      backMs: fc.integer({ min: 0, max: 9_000 }),
      lost: fc.constantFrom<Journey['lost'][]>('no', 'no', 'there', 'back'),
    }),
  },
);
/** 1.1 / 0.9 is less than the 15 s / 10 s that lease and deadline allow for. */
const candidates = fc.record({
  rate: fc.double({ min: 0.9, max: 1.1, noNaN: true }),
  offsetMs: fc.integer({ min: 0, max: 1_000_000_000 }),
  startMs: fc.integer({ min: 0, max: 10_000 }),
  journeys: fc.array(journeys, { minLength: 20, maxLength: 60 }),
  cutMs: fc.tuple(fc.integer({ min: 0, max: 90_000 }), fc.integer({ min: 0, max: 40_000 })),
  end: fc.option(
    fc.record({ atMs: fc.integer({ min: 0, max: 90_000 }), how: fc.constantFrom('crash' as const, 'stop' as const) }),
  ),
});

const TROUBLE_MS = 120_000;
/** From when all is well: what a request of before can still take, what a lease lasts by a slow clock, and a look. */
const RECOVERY_MS = 18_000 + DEFAULT_TIMING.leaseMs / 0.9 + 2 * DEFAULT_TIMING.standbyMs;

test('whatever clocks, networks and processes do, never two lead, and in the end one does', {
  timeout: 120_000,
}, async () => {
  const plans = fc.tuple(fc.array(candidates, { minLength: 2, maxLength: 3 }));
  const property = fc.asyncProperty(plans, async ([plan]) => {
    const world = new World();
    for (const [index, { rate, offsetMs, startMs, journeys, cutMs, end }] of plan.entries()) {
      let requests = 0;
      const journey = (): Journey => {
        const { nowMs } = world.time;
        if (nowMs > TROUBLE_MS) return FAST;
        if (nowMs >= cutMs[0] && nowMs < cutMs[0] + cutMs[1]) return { ...FAST, lost: 'there' };
        requests += 1;
        return journeys[requests % journeys.length] ?? FAST;
      };
      world.time.at(startMs, () => {
        const candidate = world.candidate(`${index}`, { rate, offsetMs, journey });
        // The last one lives.
        if (end !== null && index > 0) world.time.at(startMs + end.atMs, () => candidate[end.how]());
      });
    }
    await world.run(TROUBLE_MS + RECOVERY_MS);
    assert.equal(world.leaders().length, 1);
    const [leader] = world.leaders();
    await world.run(TROUBLE_MS + 2 * RECOVERY_MS);
    assert.deepEqual(world.leaders(), [leader], 'it goes on as long as all is well');
  });
  await fc.assert(property, { numRuns: 150 });
});
