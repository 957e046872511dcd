import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clone, create, fromBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import {
  type EndpointGroup,
  EndpointGroupSchema,
  GatewaySchema,
  type Model,
  ModelSchema,
} from '../../proto/gen/fairlead/v1/table_pb.js';
import { TableVersionSchema } from '../../proto/gen/fairlead/v1/table_version_pb.js';
import {
  DEFAULT_NAME,
  ENDPOINT_GROUP_TYPE,
  GATEWAY_TYPE,
  MODEL_TYPE,
  TABLE_VERSION_TYPE,
} from '../../proto/table-types.ts';
import { type PlannedTable, TableEncoder } from './table-encoder.ts';

const gateway = create(GatewaySchema, { adminPort: 8889 });

function model(id: string, owner = ''): Model {
  return create(ModelSchema, { id, ownedBy: owner });
}

function group(...addresses: string[]): EndpointGroup {
  return create(EndpointGroupSchema, { endpoints: addresses.map(address => ({ address })) });
}

function table(models: Record<string, Model>, endpoints: Record<string, EndpointGroup> = {}): PlannedTable {
  const parts = { models: new Map(Object.entries(models)), endpoints: new Map(Object.entries(endpoints)) };
  return { gateway, ...parts, secrets: new Map() };
}

/** What a table changed, as "+type name" and "-type name", without the version that every change brings. */
function changes(encoder: TableEncoder, planned: PlannedTable): string[] {
  const change = encoder.encode(planned);
  if (change === undefined) return [];
  const kinds = new Map([
    [GATEWAY_TYPE, 'gateway'],
    [MODEL_TYPE, 'model'],
    [ENDPOINT_GROUP_TYPE, 'endpoints'],
  ]);
  const last = change.upserts.at(-1);
  assert.equal(last?.typeUrl, TABLE_VERSION_TYPE);
  assert.equal(fromBinary(TableVersionSchema, last.body).version, encoder.version);
  return [
    ...change.upserts.slice(0, -1).map(({ typeUrl, name }) => `+${kinds.get(typeUrl)} ${name}`),
    ...change.removals.map(({ typeUrl, name }) => `-${kinds.get(typeUrl)} ${name}`),
  ];
}

test('each table gives what it changes of the one before', () => {
  const encoder = new TableEncoder();
  const a = model('a');
  const hosts = group('10.0.0.1:80');
  assert.deepEqual(changes(encoder, table({ 'ml/a': a }, { 'ml/a/x': hosts })), [
    `+gateway ${DEFAULT_NAME}`,
    '+model ml/a',
    '+endpoints ml/a/x',
  ]);
  assert.deepEqual(changes(encoder, table({ 'ml/a': a, 'ml/b': model('b') }, { 'ml/a/x': hosts })), ['+model ml/b']);
  assert.deepEqual(changes(encoder, table({ 'ml/a': model('a', 'me') }, { 'ml/a/x': group() })), [
    '+model ml/a',
    '+endpoints ml/a/x',
    '-model ml/b',
  ]);
});

test('a table of the same content changes nothing, and keeps its version, whatever its objects are', () => {
  const encoder = new TableEncoder();
  const a = model('a');
  changes(encoder, table({ 'ml/a': a }));
  const { version } = encoder;
  assert.match(version, /^1-[0-9a-f]{8}$/);
  assert.deepEqual(changes(encoder, table({ 'ml/a': a })), []);
  assert.deepEqual(changes(encoder, table({ 'ml/a': clone(ModelSchema, a) })), []);
  assert.equal(encoder.version, version);
});

test('the hash in the version tells the content, however it came about; the sequence tells the order', () => {
  const names = fc.constantFrom('ml/a', 'ml/b', 'ml/c');
  const tables = fc.dictionary(
    names,
    fc.constantFrom('me', 'you').map(owner => ({ owner })),
  );
  fc.assert(
    fc.property(fc.array(tables, { minLength: 1, maxLength: 10 }), history => {
      const encoder = new TableEncoder();
      const models = (owners: Record<string, { owner: string }>) =>
        Object.fromEntries(Object.entries(owners).map(([name, { owner }]) => [name, model(name, owner)]));
      let sequence = 0;
      for (const owners of history) {
        if (encoder.encode(table(models(owners))) !== undefined) sequence += 1;
        assert.equal(encoder.version.split('-')[0], String(sequence));
      }
      const fresh = new TableEncoder();
      fresh.encode(table(models(history.at(-1) ?? {})));
      assert.equal(encoder.version.split('-')[1], fresh.version.split('-')[1]);
    }),
  );
});

test('a table that cannot be encoded leaves no trace: the next one brings all that is new', () => {
  const encoder = new TableEncoder();
  changes(encoder, table({ a: model('a') }));
  const [b, broken] = [model('b'), create(ModelSchema, { id: 'c', maxContextLength: -1 })];
  assert.throws(() => encoder.encode(table({ b, c: broken })));
  assert.deepEqual(changes(encoder, table({ b })), ['+model b', '-model a']);
  const fresh = new TableEncoder();
  changes(fresh, table({ b }));
  assert.equal(encoder.version.split('-')[1], fresh.version.split('-')[1]);
});
