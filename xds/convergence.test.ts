import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import fc from 'fast-check';
import { atomic } from './atomic-order.ts';
import { removalHoldMs } from './limits.ts';
import type { PushOrder } from './push-order.ts';
import type { Resource, ResourceKey, WithheldResource } from './resource.ts';
import { sequenced } from './sequenced-order.ts';
import { resource, SimulatedClient } from './simulated-client.ts';

const TYPES = ['t/A', 't/B', 't/C', 't/V'] as const;
const [A, B, C, V] = TYPES;

const ORDERS: readonly (readonly [string, PushOrder])[] = [
  ['sequenced', sequenced({ types: TYPES, awaits: { [C]: [A, B], [V]: [C] }, resendWith: [[A, B]], expected: TYPES })],
  ['atomic', atomic({ types: [A, B, C], completedBy: V })],
];

/** A new version; or gone; or withheld, whichever version the client has or the one. */
type State = '1' | '2' | '3' | 'gone' | 'withheld' | 'withheld 1';

interface Change {
  readonly type: number;
  readonly name: string;
  readonly state: State;
}

type Step =
  | { readonly kind: 'update'; readonly changes: readonly Change[] }
  | { readonly kind: 'answer' | 'refuse'; readonly type: number }
  | { readonly kind: 'name' | 'leave'; readonly name: string }
  | { readonly kind: 'reconnect' | 'wait' };

const typeIndex = fc.nat({ max: 2 });
const name = fc.constantFrom('a', 'b', 'c', 'd');
const state = fc.constantFrom<State>('1', '2', '3', 'gone', 'withheld', 'withheld 1');
const change = fc.record({ type: typeIndex, name, state });

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant('update' as const), changes: fc.array(change, { maxLength: 4 }) }),
  },
  { weight: 5, arbitrary: fc.record({ kind: fc.constant('answer' as const), type: fc.nat({ max: 3 }) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('refuse' as const), type: fc.nat({ max: 3 }) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom('name' as const, 'leave' as const), name }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('reconnect' as const, 'wait' as const) }) },
);

/** A client that wants all of every type but B, of which it wants names that come and go, as Envoy does of endpoints. */
class Scenario {
  readonly client: SimulatedClient;
  /** Names of B that are wanted. */
  readonly #named = new Set<string>();
  #updates = 0;

  constructor(order: PushOrder) {
    this.client = new SimulatedClient(order);
    this.#subscribe();
  }

  run(step: Step): void {
    if (step.kind === 'update') this.#update(step.changes);
    if (step.kind === 'answer') this.client.ack(TYPES[step.type] as string);
    if (step.kind === 'refuse') this.#refuse(TYPES[step.type] as string);
    if (step.kind === 'wait') mock.timers.tick(removalHoldMs);
    if (step.kind === 'reconnect') this.#reconnect();
    if (step.kind === 'name') {
      this.#named.add(step.name);
      this.client.subscribe(B, [step.name]);
    }
    if (step.kind === 'leave' && this.#named.delete(step.name)) this.client.unsubscribe(B, [step.name]);
  }

  /**
   * After a last reconnection, so that nothing is refused for good, the client holds what it wants of what there is,
   * and what it had of that which is withheld.
   */
  finish(): void {
    this.#update([]);
    const { store } = this.client;
    const had = new Map([...this.client.held].map(([type, versions]) => [type, new Map(versions)]));
    this.#reconnect();
    this.client.ackAll();
    mock.timers.tick(removalHoldMs);
    this.client.ackAll();
    for (const type of TYPES) {
      const stored = [...store.resources(type)].map(([key, { version }]) => [key, version] as const);
      const kept = [...(had.get(type) ?? [])].filter(([key, version]) => store.withholds(type, key, version));
      const there = [...stored, ...kept];
      const wanted = there.filter(([key]) => type !== B || this.#named.has(key));
      assert.deepEqual(new Map(this.client.held.get(type)), new Map(wanted), type);
    }
    assert.equal(this.client.stream.settledSequence, store.sequence);
  }

  #update(changes: readonly Change[]): void {
    const last = new Map(changes.map(each => [`${each.type} ${each.name}`, each]));
    const upserts: Resource[] = [];
    const removals: ResourceKey[] = [];
    const withheld: WithheldResource[] = [];
    for (const { type, name, state } of last.values()) {
      const typeUrl = TYPES[type] as string;
      if (state === 'gone') removals.push({ typeUrl, name });
      else if (state === 'withheld') withheld.push({ typeUrl, name, version: undefined });
      else if (state === 'withheld 1') withheld.push({ typeUrl, name, version: '1' });
      else upserts.push(resource(typeUrl, name, state));
    }
    this.#updates += 1;
    this.client.update([...upserts, resource(V, 'default', String(this.#updates))], removals, withheld);
  }

  #refuse(type: string): void {
    if (this.client.waiting.some(({ typeUrl }) => typeUrl === type)) this.client.nack(type, 'a: no');
  }

  #reconnect(): void {
    this.client.reconnect();
    this.#subscribe();
  }

  #subscribe(): void {
    this.client.subscribe(A, [], true);
    this.client.subscribe(B, ['none', ...this.#named], true);
    this.client.subscribe(C, [], true);
    this.client.subscribe(V, [], true);
  }
}

for (const [label, order] of ORDERS) {
  test(`${label}: whatever happens, the client ends up with what there is`, () => {
    mock.timers.enable({ apis: ['setTimeout'] });
    try {
      fc.assert(
        fc.property(fc.array(step, { maxLength: 40, size: 'max' }), steps => {
          const scenario = new Scenario(order);
          for (const each of steps) scenario.run(each);
          scenario.finish();
          scenario.client.stream.close();
        }),
        { numRuns: 500 },
      );
    } finally {
      mock.timers.reset();
    }
  });
}

test('atomic: when the completing type arrives, the client has the whole state of its version', () => {
  const order = atomic({ types: [A, C], completedBy: V });
  const versions = fc.dictionary(name, fc.constantFrom('1', '2', '3'));
  const event = fc.oneof(
    fc.record({ a: versions, c: versions }),
    fc.constantFrom<'answer A' | 'answer C' | 'answer V' | 'reconnect'>(
      'answer A',
      'answer C',
      'answer V',
      'reconnect',
    ),
  );
  fc.assert(
    fc.property(fc.array(event, { maxLength: 40, size: 'max' }), events => {
      const client = new SimulatedClient(order);
      const states = new Map<string, Record<string, unknown>>();
      const subscribe = () => {
        for (const type of [A, C, V]) client.subscribe(type, [], true);
      };
      const answer = (type: string) => {
        // A client applies in order of arrival, whatever it answers first.
        if (client.waiting[0]?.typeUrl !== type) return;
        client.ack(type);
        const version = client.held.get(V)?.get('default');
        if (type !== V || version === undefined) return;
        const held = {
          a: Object.fromEntries(client.held.get(A) ?? []),
          c: Object.fromEntries(client.held.get(C) ?? []),
        };
        assert.deepEqual(held, states.get(version));
      };
      subscribe();
      for (const each of events) {
        if (each === 'reconnect') {
          client.reconnect();
          subscribe();
        } else if (typeof each === 'string') {
          answer(`t/${each.at(-1)}`);
        } else {
          const version = String(states.size + 1);
          states.set(version, { a: { ...each.a }, c: { ...each.c } });
          const upserts = [A, C].flatMap(type =>
            Object.entries(type === A ? each.a : each.c).map(([key, value]) => resource(type, key, value)),
          );
          const kept = new Set(upserts.map(({ typeUrl, name: key }) => `${typeUrl} ${key}`));
          const removals = [A, C].flatMap(typeUrl =>
            [...client.store.resources(typeUrl).keys()]
              .filter(key => !kept.has(`${typeUrl} ${key}`))
              .map(key => ({ typeUrl, name: key })),
          );
          client.update([...upserts, resource(V, 'default', version)], removals);
        }
      }
      while (client.waiting.length > 0) answer(client.waiting[0]?.typeUrl as string);
      client.stream.close();
    }),
    { numRuns: 500 },
  );
});

test('sequenced: a route only ever names clusters that the client has', () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  const order = sequenced({ types: [A, C], awaits: { [C]: [A] }, resendWith: [], expected: [A, C] });
  const clusters = fc.dictionary(fc.constantFrom('a', 'b'), fc.constantFrom('1', '2', '3'), { minKeys: 1 });
  const event = fc.oneof(
    clusters,
    fc.constantFrom<'answer A' | 'answer C' | 'reconnect'>('answer A', 'answer C', 'reconnect'),
  );
  try {
    fc.assert(
      fc.property(fc.array(event, { maxLength: 40, size: 'max' }), events => {
        const client = new SimulatedClient(order);
        const subscribe = () => {
          for (const type of [A, C]) client.subscribe(type, [], true);
        };
        subscribe();
        for (const each of events) {
          if (each === 'reconnect') {
            client.reconnect();
            subscribe();
          } else if (typeof each === 'string') {
            client.ack(`t/${each.at(-1)}`);
          } else {
            const removals = [...client.store.resources(A).keys()].filter(key => !(key in each));
            client.update(
              [
                ...Object.entries(each).map(([key, value]) => resource(A, key, value)),
                resource(C, 'r', Object.keys(each).join()),
              ],
              removals.map(key => ({ typeUrl: A, name: key })),
            );
          }
          const route = client.held.get(C)?.get('r')?.split(',') ?? [];
          for (const cluster of route) assert.ok(client.held.get(A)?.has(cluster), `route names ${cluster}`);
        }
        client.stream.close();
      }),
      { numRuns: 1_000 },
    );
  } finally {
    mock.timers.reset();
  }
});
