import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clone, create, fromBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import {
  type Consumer,
  ConsumerSchema,
  type EndpointGroup,
  EndpointGroupSchema,
  FleetSchema,
  GatewaySchema,
  type Model,
  ModelSchema,
} from '../../proto/gen/fairlead/v1/table_pb.js';
import { TableVersionSchema } from '../../proto/gen/fairlead/v1/table_version_pb.js';
import {
  CONSUMER_TYPE,
  DEFAULT_NAME,
  ENDPOINT_GROUP_TYPE,
  FLEET_TYPE,
  GATEWAY_TYPE,
  MODEL_TYPE,
  TABLE_VERSION_TYPE,
} from '../../proto/table-types.ts';
import { type PlannedTable, TableEncoder } from './table-encoder.ts';

const gateway = create(GatewaySchema, { adminPort: 8889 });
const alone = create(FleetSchema, { agents: 1 });

function model(id: string, owner = ''): Model {
  return create(ModelSchema, { id, ownedBy: owner });
}

function group(...addresses: string[]): EndpointGroup {
  return create(EndpointGroupSchema, { endpoints: addresses.map(address => ({ address })) });
}

function consumer(...names: string[]): Consumer {
  return create(ConsumerSchema, { names });
}

function table(
  models: Record<string, Model>,
  endpoints: Record<string, EndpointGroup> = {},
  consumers: Record<string, Consumer> = {},
): PlannedTable {
  const parts = { models: new Map(Object.entries(models)), endpoints: new Map(Object.entries(endpoints)) };
  return { gateway, ...parts, consumers: new Map(Object.entries(consumers)), secrets: new Map() };
}

/** What a table changed, as "+type name" and "-type name", without the version that every change brings. */
function changes(encoder: TableEncoder, planned: PlannedTable, fleet = alone): string[] {
  const change = encoder.encode(planned, fleet);
  if (change === undefined) return [];
  const kinds = new Map([
    [GATEWAY_TYPE, 'gateway'],
    [MODEL_TYPE, 'model'],
    [ENDPOINT_GROUP_TYPE, 'endpoints'],
    [CONSUMER_TYPE, 'consumer'],
    [FLEET_TYPE, 'fleet'],
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
    `+fleet ${DEFAULT_NAME}`,
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

test('a consumer is a part of its own, and so is the fleet: neither is a change of the gateway', () => {
  const encoder = new TableEncoder();
  changes(encoder, table({}, {}, { 'ml/alice': consumer('alice'), 'ml/bob': consumer('bob') }));
  assert.equal(encoder.consumerChangedIn('ml/bob'), 1);
  assert.deepEqual(changes(encoder, table({}, {}, { 'ml/alice': consumer('ml/alice') })), [
    '+consumer ml/alice',
    '-consumer ml/bob',
  ]);
  const three = create(FleetSchema, { agents: 3 });
  assert.deepEqual(changes(encoder, table({}, {}, { 'ml/alice': consumer('ml/alice') }), three), ['+fleet default']);
  assert.deepEqual(
    ['ml/alice', 'ml/bob'].map(key => encoder.consumerChangedIn(key)),
    [2, 0],
  );
  assert.deepEqual([encoder.gatewayChangedIn, encoder.sequence], [1, 3]);
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
        if (encoder.encode(table(models(owners)), alone) !== undefined) sequence += 1;
        assert.equal(encoder.version.split('-')[0], String(sequence));
      }
      const fresh = new TableEncoder();
      fresh.encode(table(models(history.at(-1) ?? {})), alone);
      assert.equal(encoder.version.split('-')[1], fresh.version.split('-')[1]);
    }),
  );
});

test('a table that cannot be encoded leaves no trace: the next one brings all that is new', () => {
  const encoder = new TableEncoder();
  changes(encoder, table({ a: model('a') }));
  const [b, broken] = [model('b'), create(ModelSchema, { id: 'c', maxContextLength: -1 })];
  assert.throws(() => encoder.encode(table({ b, c: broken }), alone));
  assert.deepEqual(changes(encoder, table({ b })), ['+model b', '-model a']);
  const fresh = new TableEncoder();
  changes(fresh, table({ b }));
  assert.equal(encoder.version.split('-')[1], fresh.version.split('-')[1]);
});
