import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ApiObject } from './api-object.ts';
import { Assembly, NamespaceReplicas } from './assembly.ts';

function object(name: string, spec: unknown, second: number): ApiObject {
  const creationTimestamp = new Date(second * 1_000).toISOString();
  const metadata = { namespace: 'ml', name, uid: `uid-${name}`, resourceVersion: '1', creationTimestamp };
  return { metadata: { ...metadata, generation: 1 }, spec };
}

const ASKING = { authentication: { mode: 'apiKeys' } };
const BROKEN = { listeners: 1 };

function cluster() {
  const [one, two] = [new NamespaceReplicas(), new NamespaceReplicas()];
  for (const { gateways } of [one, two]) gateways.beginList();
  for (const { gateways } of [one, two]) gateways.endList('0');
  return { one, two, assembly: new Assembly([one, two]) };
}

test('what did not change is the same object, whatever else did', () => {
  const { one, two, assembly } = cluster();
  one.consumers.apply({ kind: 'set', object: object('good', {}, 1) });
  two.consumers.apply({ kind: 'set', object: object('bad', { models: 1 }, 1) });
  const before = assembly.read();
  assert.equal(assembly.read(), before);
  assert.deepEqual([...before.consumers.keys()], ['ml/good']);
  assert.deepEqual(
    before.refused.map(({ name }) => name),
    ['bad'],
  );
  two.pods.apply({ kind: 'set', object: { ...object('p', {}, 1), status: { podIP: '10.0.0.1' } } });
  const after = assembly.read();
  assert.notEqual(after, before);
  for (const part of ['consumers', 'gateways', 'modelDeployments', 'refused'] as const) {
    assert.equal(after[part], before[part], part);
  }
  assert.equal(after.pods.size, 1);
});

test('a gateway that breaks is kept, and one that never was good closes, unless it is younger', () => {
  const { one, two, assembly } = cluster();
  const told = () => {
    const { gateways, closed, refused } = assembly.read();
    const served = gateways.map(({ name, spec }) => `${name} ${spec.authentication.mode}`);
    return [served.join(), closed === undefined ? 'open' : `${closed.why} ${closed.key}`, refused.length];
  };
  two.gateways.apply({ kind: 'set', object: object('old', BROKEN, 1) });
  one.gateways.apply({ kind: 'set', object: object('young', ASKING, 2) });
  assert.deepEqual(told(), ['young apiKeys', 'refused ml/old', 1]);
  two.gateways.apply({ kind: 'removed', object: object('old', BROKEN, 1) });
  assert.deepEqual(told(), ['young apiKeys', 'open', 0]);
  one.gateways.apply({ kind: 'set', object: object('young', BROKEN, 2) });
  assert.deepEqual(told(), ['young apiKeys', 'open', 1]);
  one.gateways.apply({ kind: 'removed', object: object('young', BROKEN, 2) });
  assert.deepEqual(told(), ['', 'gone ml/young', 0]);
});
