import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { ApiObject } from './api-object.ts';
import { keepGateway, keepModel } from './declared-object.ts';

function object(spec: unknown, facts: Partial<ApiObject['metadata']> = {}): ApiObject {
  const creationTimestamp = '2026-01-31T12:00:00Z';
  const metadata = { namespace: 'ml', name: 'a', uid: 'u', resourceVersion: '1', creationTimestamp, generation: 3 };
  return { metadata: { ...metadata, ...facts }, spec, status: { anything: 1 } };
}

const good = { backends: [{ name: 'b', endpoints: ['10.0.0.1:80'] }] };
const bad = { backends: [] };

suite('a declared object', () => {
  test('has its generation, age and uid from the API server, and its defaults', () => {
    const kept = keepModel(object(good), undefined)?.declared;
    const { spec, ...rest } = kept ?? assert.fail('refused');
    assert.deepEqual(rest, {
      namespace: 'ml',
      name: 'a',
      generation: 3,
      createdAtMs: Date.UTC(2026, 0, 31, 12),
      origin: { kind: 'object', uid: 'u' },
    });
    assert.equal(spec.routing.strategy.length > 0, true);
  });

  test('may have metadata that nobody has heard of', () => {
    const facts = { managedFields: [], invented: 1 } as Partial<ApiObject['metadata']>;
    assert.ok(keepModel(object(good, facts), undefined)?.declared);
  });

  test('is the same object while it says the same', () => {
    const kept = keepModel(object(good), undefined);
    assert.equal(keepModel(object(structuredClone(good), { resourceVersion: '2' }), kept), kept);
  });

  test('keeps its spec when only the rest changes', () => {
    const kept = keepModel(object(good), undefined);
    const edited = keepModel(object(good, { generation: 4 }), kept);
    assert.equal(edited?.declared?.generation, 4);
    assert.equal(edited?.declared?.spec, kept?.declared?.spec);
  });

  test('that cannot be served says why, and which edit that is about', () => {
    const kept = keepModel(object(bad), undefined);
    const { problems, ...rest } = kept?.refused ?? assert.fail('accepted');
    const createdAtMs = Date.UTC(2026, 0, 31, 12);
    assert.deepEqual(rest, {
      kind: 'ModelDeployment',
      namespace: 'ml',
      name: 'a',
      uid: 'u',
      generation: 3,
      createdAtMs,
    });
    assert.deepEqual(
      problems.map(({ path }) => path),
      [['spec', 'backends']],
    );
    assert.equal(keepModel(object(bad), kept), kept);
    assert.ok(keepModel(object(good), kept)?.declared, 'and is served once it is mended');
  });

  test('of a gateway that broke, what was good goes on, and is told to be broken', () => {
    const asking = { authentication: { mode: 'apiKeys' } };
    const kept = keepGateway(object(asking), undefined);
    const broken = keepGateway(object({ listeners: 1 }, { generation: 4 }), kept);
    assert.equal(broken?.declared, kept?.declared);
    assert.equal(broken?.refused?.generation, 4);
    const again = keepGateway(object({ listeners: 2 }, { generation: 5 }), broken);
    assert.equal(again?.declared, kept?.declared);
    assert.equal(keepGateway(object({ listeners: 2 }, { generation: 5 }), again), again);
    const mended = keepGateway(object(asking, { generation: 6 }), again);
    assert.equal(mended?.refused, undefined);
    assert.equal(mended?.declared?.spec, kept?.declared?.spec);
    const other = keepGateway(object({ listeners: 1 }, { uid: 'another' }), kept);
    assert.equal(other?.declared, undefined, 'nothing is known of another one by its name');
  });

  test('a model or a Consumer that broke is served no more', () => {
    assert.equal(keepModel(object(bad), keepModel(object(good), undefined))?.declared, undefined);
  });

  test('without a spec is refused', () => {
    assert.ok(keepModel(object(undefined), undefined)?.refused);
  });

  test('a gateway is read as one', () => {
    assert.ok(keepGateway(object({}), undefined)?.declared?.spec.listeners);
    assert.equal(keepGateway(object({ listeners: 1 }), undefined)?.refused?.kind, 'InferenceGateway');
  });
});
