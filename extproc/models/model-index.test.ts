import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { routeProfile } from '../../agent/table/route-profile.ts';
import type { TableDelta } from '../../agent/table/route-table.ts';
import {
  EndpointGroupSchema,
  EndpointSchema,
  GatewaySchema,
  ModelSchema,
} from '../../proto/gen/fairlead/v1/table_pb.js';
import { EndpointLoad } from '../endpoint-load/endpoint-load.ts';
import { endpointName, ModelIndex } from './model-index.ts';

const model = (id: string, more: MessageInitShape<typeof ModelSchema> = {}) =>
  create(ModelSchema, { id, names: [id], backends: [{ name: 'gpu' }], ...more });

const group = (...ids: string[]) =>
  create(EndpointGroupSchema, {
    endpoints: ids.map(id => create(EndpointSchema, { id, address: `${id}:80`, name: id })),
  });

const delta = (more: Partial<TableDelta>): TableDelta => ({
  version: '1',
  receivedAtMs: 1,
  gateway: undefined,
  models: [],
  removedModels: [],
  endpoints: [],
  removedEndpoints: [],
  consumers: [],
  removedConsumers: [],
  agents: undefined,
  limitStore: undefined,
  ...more,
});

function start() {
  const load = new EndpointLoad();
  const index = new ModelIndex(load);
  /** Names of the endpoints of a model, by backend. */
  const endpoints = (name: string) =>
    index.resolve(name)?.backends.map(backend => backend.slots.map(slot => endpointName(backend, slot)));
  const listed = () => [...load.rows(0)].map(row => row.id).sort();
  return { load, index, endpoints, listed };
}

describe('model index', () => {
  it('is empty until the first table', () => {
    const { index } = start();
    assert.deepEqual([index.version, index.receivedAtMs, index.gateway, index.list()], ['', 0, undefined, []]);
    assert.equal(index.resolve('a'), undefined);
  });

  it('takes over version, age and gateway, and keeps the gateway of a delta without one', () => {
    const { index } = start();
    const gateway = create(GatewaySchema, { adminPort: 8889 });
    index.apply(delta({ version: '7-abc', receivedAtMs: 70, gateway }));
    index.apply(delta({ version: '8-def', receivedAtMs: 80 }));
    assert.deepEqual([index.version, index.receivedAtMs, index.gateway], ['8-def', 80, gateway]);
  });

  it('resolves every name of a model, ids with slashes and versions too, and nothing else', () => {
    const { index } = start();
    const names = ['meta/llama', 'llama', 'meta/llama@2'];
    index.apply(delta({ models: [['ml/llama', model('meta/llama', { names })]] }));
    for (const name of names) assert.equal(index.resolve(name)?.key, 'ml/llama');
    for (const name of ['meta', 'ml/llama', '', '__proto__', 'constructor'])
      assert.equal(index.resolve(name), undefined);
  });

  it('has the endpoints whichever of model and group comes first', () => {
    const { index, endpoints } = start();
    index.apply(delta({ endpoints: [['ml/a/gpu', group('p1', 'p2')]] }));
    assert.equal(endpoints('a'), undefined);
    index.apply(delta({ models: [['ml/a', model('a')]] }));
    assert.deepEqual(endpoints('a'), [['p1', 'p2']]);
    index.apply(delta({ models: [['ml/b', model('b')]] }));
    assert.deepEqual(endpoints('b'), [[]]);
    index.apply(delta({ endpoints: [['ml/b/gpu', group('p3')]] }));
    assert.deepEqual(endpoints('b'), [['p3']]);
    assert.deepEqual(endpoints('a'), [['p1', 'p2']]);
  });

  it('replaces the entry, and the entry only of the model, when one of its groups changes', () => {
    const { index, endpoints } = start();
    index.apply(
      delta({
        models: [
          ['ml/a', model('a', { names: ['a', 'alias'] })],
          ['ml/b', model('b')],
        ],
        endpoints: [['ml/a/gpu', group('p1')]],
      }),
    );
    const [before, other] = [index.resolve('a'), index.resolve('b')];
    const slots = before?.backends[0]?.slots;
    index.apply(delta({ endpoints: [['ml/a/gpu', group('p2')]] }));
    assert.deepEqual(endpoints('alias'), [['p2']]);
    assert.equal(index.resolve('a'), index.resolve('alias'));
    assert.equal(index.list()[0], index.resolve('a'));
    assert.equal(index.resolve('b'), other);
    assert.equal(before?.backends[0]?.slots, slots, 'the value that a running request holds is as it was');
    index.apply(delta({ removedEndpoints: ['ml/a/gpu'] }));
    assert.deepEqual(endpoints('a'), [[]]);
  });

  it('lists an endpoint once for every group, and one that a group has twice once', () => {
    const { index, endpoints, listed } = start();
    index.apply(
      delta({
        models: [
          ['ml/a', model('a')],
          ['ml/b', model('b')],
        ],
        endpoints: [
          ['ml/a/gpu', group('p1', 'p2', 'p1')],
          ['ml/b/gpu', group('p1')],
        ],
      }),
    );
    assert.deepEqual(endpoints('a'), [['p1', 'p2']]);
    assert.equal(index.resolve('a')?.backends[0]?.slots[0], index.resolve('b')?.backends[0]?.slots[0]);
    index.apply(delta({ removedModels: ['ml/a'], removedEndpoints: ['ml/a/gpu'] }));
    assert.deepEqual(listed(), ['p1']);
    index.apply(delta({ removedModels: ['ml/b'], removedEndpoints: ['ml/b/gpu'] }));
    assert.deepEqual(listed(), []);
  });

  it('calls an endpoint what each model that lists it calls it', () => {
    const { index, endpoints } = start();
    const shared = (name: string) => create(EndpointGroupSchema, { endpoints: [{ id: 'x', address: 'x:80', name }] });
    const models = ['a', 'z'].map(id => [`ml/${id}`, model(id)] as const);
    const listings = ['a', 'z'].map(id => [`ml/${id}/gpu`, shared(`${id}-0`)] as const);
    index.apply(delta({ models, endpoints: listings }));
    assert.deepEqual([endpoints('a'), endpoints('z')], [[['a-0']], [['z-0']]]);
    const [slot = -1] = index.resolve('z')?.backends[0]?.slots ?? [];
    assert.deepEqual([...index.endpointNames()], [[slot, 'a-0']]);
    index.apply(delta({ endpoints: [['ml/a/gpu', shared('a-1')]] }));
    assert.deepEqual([endpoints('a'), endpoints('z')], [[['a-1']], [['z-0']]]);
    index.apply(delta({ removedModels: ['ml/a'], removedEndpoints: ['ml/a/gpu'] }));
    assert.deepEqual([...index.endpointNames()], [[slot, 'z-0']]);
  });

  it('keeps the slot, with what is in flight, of a pod that moves from one group to another', () => {
    const { index, load } = start();
    const models = [['ml/a', model('a', { backends: [{ name: 'x' }, { name: 'y' }] })]] as const;
    index.apply(delta({ models, endpoints: [['ml/a/x', group('p1')]] }));
    const slot = index.resolve('a')?.backends[0]?.slots[0] ?? -1;
    load.reserve(slot, 5, 0);
    index.apply(
      delta({
        endpoints: [
          ['ml/a/x', group()],
          ['ml/a/y', group('p1')],
        ],
      }),
    );
    assert.deepEqual(index.resolve('a')?.backends[1]?.slots, [slot]);
    assert.equal(load.inFlight(slot), 1);
  });

  it('lets a name go with its model, and move from one model to another in one delta', () => {
    const { index } = start();
    index.apply(
      delta({
        models: [
          ['ml/a', model('a', { names: ['a', 'best'] })],
          ['ml/b', model('b')],
        ],
      }),
    );
    index.apply(
      delta({
        models: [
          ['ml/b', model('b', { names: ['b', 'best'] })],
          ['ml/a', model('a')],
        ],
      }),
    );
    assert.equal(index.resolve('best')?.key, 'ml/b');
    index.apply(delta({ removedModels: ['ml/b'] }));
    assert.equal(index.resolve('best'), undefined);
    assert.equal(index.resolve('b'), undefined);
  });

  it('lists by public id, then by key', () => {
    const { index } = start();
    const models = ['ml/z', 'ml/y', 'ml/x'].map((key, at) => [key, model(at === 1 ? 'b' : 'a')] as const);
    index.apply(delta({ models }));
    assert.deepEqual(
      index.list().map(entry => [entry.model.id, entry.key]),
      [
        ['a', 'ml/x'],
        ['a', 'ml/z'],
        ['b', 'ml/y'],
      ],
    );
  });

  it('has the route profile that Envoy has for the model', () => {
    const { index } = start();
    const [quick, slow] = [5_000, 600_000].map(requestMs => model('a', { timeouts: { requestMs } }));
    for (const each of [quick, slow]) {
      assert.ok(each);
      index.apply(delta({ models: [['ml/a', each]] }));
      assert.equal(index.resolve('a')?.routeProfile, routeProfile(each));
    }
  });

  it('is the same after any sequence of deltas as after their sum', () => {
    const key = fc.constantFrom('ml/a', 'ml/b', 'ml/c');
    const names = fc.uniqueArray(fc.constantFrom('one', 'two', 'three', 'four'), { minLength: 1 });
    const pods = fc.array(fc.constantFrom('p1', 'p2', 'p3', 'p4'), { maxLength: 4 });
    const step = fc.record({ key, names: fc.option(names), pods: fc.option(pods) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30, size: 'max' }), steps => {
        const grown = start();
        const models = new Map<string, string[]>();
        const groups = new Map<string, string[]>();
        for (const { key, names, pods } of steps) {
          if (names === null) models.delete(key);
          else models.set(key, names);
          if (pods === null) groups.delete(`${key}/gpu`);
          else groups.set(`${key}/gpu`, pods);
          grown.index.apply(
            delta({
              models: names === null ? [] : [[key, model(key, { names })]],
              removedModels: names === null ? [key] : [],
              endpoints: pods === null ? [] : [[`${key}/gpu`, group(...pods)]],
              removedEndpoints: pods === null ? [`${key}/gpu`] : [],
            }),
          );
        }
        const fresh = start();
        fresh.index.apply(
          delta({
            models: [...models].map(([key, names]) => [key, model(key, { names })] as const),
            endpoints: [...groups].map(([name, pods]) => [name, group(...pods)] as const),
          }),
        );
        for (const name of ['one', 'two', 'three', 'four']) {
          assert.equal(grown.index.resolve(name)?.key, fresh.index.resolve(name)?.key, name);
          assert.deepEqual(grown.endpoints(name), fresh.endpoints(name), name);
        }
        assert.deepEqual(grown.listed(), fresh.listed());
        const order = (index: ModelIndex) => index.list().map(entry => entry.key);
        assert.deepEqual(order(grown.index), order(fresh.index));
      }),
      { numRuns: 200 },
    );
  });
});
