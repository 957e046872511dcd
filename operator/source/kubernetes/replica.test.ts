import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import type { ApiObject } from './api-object.ts';
import { type Keep, Replica } from './replica.ts';

/** Keeps the spec; nothing of an object whose spec is `ended`. */
const keep: Keep<{ readonly spec: unknown }> = ({ spec }, before) => {
  if (spec === 'ended') return undefined;
  return before?.spec === spec ? before : { spec };
};

function object(name: string, version: number, spec: string): ApiObject {
  const common = { namespace: 'ml', uid: `uid-${name}`, creationTimestamp: '2026-01-01T00:00:00Z' };
  return { metadata: { ...common, name, resourceVersion: String(version) }, spec };
}

const bookmark = (version: number, listed = false) =>
  ({ kind: 'bookmark', resourceVersion: String(version), listed }) as const;

const plain = (replica: Replica<{ readonly spec: unknown }>) =>
  Object.fromEntries([...replica.values].map(([key, { spec }]) => [key, spec]));

function listed(...objects: readonly ApiObject[]) {
  const replica = new Replica(keep);
  replica.beginList();
  for (const one of objects) replica.listed(one);
  replica.endList('10');
  return replica;
}

suite('a replica', () => {
  test('is whole only after its first list', () => {
    const replica = new Replica(keep);
    replica.beginList();
    replica.listed(object('a', 1, 'x'));
    assert.deepEqual([replica.synced, replica.resourceVersion, replica.values.size], [false, undefined, 0]);
    assert.equal(replica.endList('5'), true);
    assert.deepEqual([replica.synced, replica.resourceVersion, plain(replica)], [true, '5', { 'ml/a': 'x' }]);
  });

  test('an empty first list is a change: now it is known that there is nothing', () => {
    const replica = new Replica(keep);
    replica.beginList();
    assert.equal(replica.apply(bookmark(3, true)), true);
    assert.equal(replica.synced, true);
  });

  test('an event that says the same changes nothing but the version', () => {
    const replica = listed(object('a', 1, 'x'));
    const { values } = replica;
    assert.equal(replica.apply({ kind: 'set', object: object('a', 11, 'x') }), false);
    assert.equal(replica.values, values);
    assert.equal(replica.resourceVersion, '11');
  });

  test('what was told before stays as it was', () => {
    const replica = listed(object('a', 1, 'x'));
    const { values } = replica;
    replica.apply({ kind: 'removed', object: object('a', 11, 'x') });
    assert.equal(values.size, 1);
    assert.equal(replica.values.size, 0);
  });

  test('a list that says the same changes nothing', () => {
    const replica = listed(object('a', 1, 'x'));
    const { values } = replica;
    replica.expire();
    replica.beginList();
    replica.listed(object('a', 1, 'x'));
    assert.equal(replica.endList('20'), false);
    assert.equal(replica.values, values);
  });

  test('a list that does not come to its end leaves what was known', () => {
    const replica = listed(object('a', 1, 'x'));
    replica.expire();
    replica.beginList();
    replica.apply({ kind: 'set', object: object('b', 11, 'y') });
    replica.apply(bookmark(12));
    assert.deepEqual(plain(replica), { 'ml/a': 'x' });
    assert.equal(replica.resourceVersion, undefined, 'a bookmark within a list is not its end');
    replica.expire();
    assert.deepEqual(plain(replica), { 'ml/a': 'x' });
  });

  test('equals a fresh list after any history, however often the watch was cut, resumed or had expired', () => {
    const change = fc.record({
      name: fc.constantFrom('a', 'b', 'c', 'd'),
      spec: fc.constantFrom('x', 'y', 'ended', 'gone'),
    });
    const step = fc.oneof(
      { weight: 5, arbitrary: change.map(value => ({ kind: 'change' as const, ...value })) },
      { weight: 2, arbitrary: fc.record({ kind: fc.constant('watch' as const), upTo: fc.nat(10) }) },
      {
        weight: 1,
        arbitrary: fc.record({ kind: fc.constant('list' as const), streamed: fc.boolean(), whole: fc.boolean() }),
      },
      { weight: 1, arbitrary: fc.constant({ kind: 'expire' as const }) },
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), steps => {
        const server = new Server();
        const replica = new Replica(keep);
        for (const one of steps) {
          if (one.kind === 'change') server.change(one.name, one.spec);
          else if (one.kind === 'expire') replica.expire();
          else if (one.kind === 'list') server.list(replica, one.streamed, one.whole);
          else server.watch(replica, one.upTo);
        }
        if (replica.resourceVersion === undefined) server.list(replica, true, true);
        server.watch(replica, Number.POSITIVE_INFINITY);
        const fresh = new Replica(keep);
        server.list(fresh, false, true);
        assert.deepEqual(plain(replica), plain(fresh));
        assert.equal(replica.resourceVersion, fresh.resourceVersion);
      }),
    );
  });
});

/** A collection with its history, as an API server has it. */
class Server {
  readonly #objects = new Map<string, ApiObject>();
  readonly #log: { readonly kind: 'set' | 'removed'; readonly object: ApiObject }[] = [];

  change(name: string, spec: string): void {
    const version = this.#log.length + 1;
    const changed = object(name, version, spec);
    if (spec !== 'gone') this.#objects.set(name, changed);
    else if (!this.#objects.delete(name)) return;
    this.#log.push({ kind: spec === 'gone' ? 'removed' : 'set', object: changed });
  }

  list(replica: Replica<{ readonly spec: unknown }>, streamed: boolean, whole: boolean): void {
    replica.beginList();
    for (const one of this.#objects.values()) {
      if (streamed) replica.apply({ kind: 'set', object: one });
      else replica.listed(one);
    }
    if (!whole) replica.expire();
    else if (streamed) replica.apply(bookmark(this.#log.length, true));
    else replica.endList(String(this.#log.length));
  }

  /** From where the replica is, and at most so many events. */
  watch(replica: Replica<{ readonly spec: unknown }>, upTo: number): void {
    if (replica.resourceVersion === undefined) return;
    const from = Number(replica.resourceVersion);
    for (const event of this.#log.slice(from, from + upTo)) replica.apply(event);
  }
}
