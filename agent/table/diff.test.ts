import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import {
  type Consumer,
  ConsumerSchema,
  EndpointGroupSchema,
  GatewaySchema,
  ModelSchema,
  OnStoreFailure,
  SecretSchema,
} from '../../proto/gen/fairlead/v1/table_pb.js';
import { diffTables } from './diff.ts';
import type { RouteTable } from './route-table.ts';

const gateway = create(GatewaySchema);
const [a, b, group] = [create(ModelSchema), create(ModelSchema), create(EndpointGroupSchema)];
const [ann, bob] = [create(ConsumerSchema), create(ConsumerSchema)];

function table(
  version: string,
  models: [string, typeof a][],
  groups: string[],
  consumers: [string, Consumer][] = [],
): RouteTable {
  return {
    version,
    gateway,
    models: new Map(models),
    endpoints: new Map(groups.map(name => [name, group])),
    consumers: new Map(consumers),
    agents: 2,
    secrets: new Map(),
  };
}

test('somebody who holds nothing is told everything', () => {
  assert.deepEqual(diffTables(undefined, table('1', [['m', a]], ['m/x'], [['ml/ann', ann]]), 7), {
    version: '1',
    receivedAtMs: 7,
    gateway,
    models: [['m', a]],
    removedModels: [],
    endpoints: [['m/x', group]],
    removedEndpoints: [],
    consumers: [['ml/ann', ann]],
    removedConsumers: [],
    agents: 2,
    limitStore: { valkey: undefined, onFailure: OnStoreFailure.LOCAL, timeoutMs: 20 },
  });
});

test('what is the same object is not told again; what is gone is', () => {
  const before = table(
    '1',
    [
      ['m', a],
      ['n', a],
    ],
    ['m/x', 'n/x'],
    [
      ['ml/ann', ann],
      ['ml/bob', ann],
    ],
  );
  const after = table(
    '2',
    [
      ['m', b],
      ['o', a],
    ],
    ['m/x'],
    [['ml/ann', bob]],
  );
  const delta = diffTables(before, after, 8);
  assert.equal(delta.gateway, undefined);
  assert.deepEqual(
    delta.models.map(([name]) => name),
    ['m', 'o'],
  );
  assert.deepEqual(delta.removedModels, ['n']);
  assert.deepEqual([delta.endpoints, delta.removedEndpoints], [[], ['n/x']]);
  assert.deepEqual([delta.consumers, delta.removedConsumers], [[['ml/ann', bob]], ['ml/bob']]);
  assert.deepEqual([delta.agents, delta.limitStore], [undefined, undefined]);
  assert.equal(diffTables(before, { ...before, agents: 3 }, 8).agents, 3);
});

/** A table whose limits are kept in a Valkey, with the secrets that are there. */
function withValkey(secrets: Readonly<Record<string, Readonly<Record<string, string>>>>, adminPort = 0): RouteTable {
  const limitStore = {
    timeoutMs: 35,
    onFailure: OnStoreFailure.DENY,
    valkey: {
      url: 'valkeys://valkey:6379/0',
      username: 'fairlead',
      password: { secret: 'ml/valkey', key: 'password' },
      ca: { secret: 'ml/ca', key: 'ca.crt' },
      cluster: true,
    },
  };
  const bytes = Object.entries(secrets).map(([name, data]) => {
    const entries = Object.entries(data).map(([key, text]) => [key, new Uint8Array(Buffer.from(text))]);
    return [name, create(SecretSchema, { data: Object.fromEntries(entries) })] as const;
  });
  return {
    ...table('1', [], []),
    gateway: create(GatewaySchema, { limitStore, adminPort }),
    secrets: new Map(bytes),
  };
}

const FOUND = { 'ml/valkey': { password: 'pass wörd' }, 'ml/ca': { 'ca.crt': 'PEM' } };

test('the store of limits comes with what its secrets say, and again when one of them changes', () => {
  const settings = {
    valkey: {
      url: 'valkeys://valkey:6379/0',
      username: 'fairlead',
      password: 'pass wörd',
      ca: 'PEM',
      cluster: true,
    },
    onFailure: OnStoreFailure.DENY,
    timeoutMs: 35,
  };
  const before = withValkey(FOUND);
  assert.deepEqual(diffTables(undefined, before, 0).limitStore, settings);
  assert.equal(diffTables(before, withValkey(FOUND, 7), 0).limitStore, undefined);
  const after = withValkey({ ...FOUND, 'ml/valkey': { password: 'new' } });
  assert.deepEqual(diffTables(before, after, 0).limitStore, {
    ...settings,
    valkey: { ...settings.valkey, password: 'new' },
  });
});

test('a store whose secret or key is missing is no store, and it is told which', () => {
  const missing = (secrets: Parameters<typeof withValkey>[0]) =>
    diffTables(undefined, withValkey(secrets), 0).limitStore?.valkey;
  assert.deepEqual(missing({}), { missing: 'Secret ml/valkey is missing' });
  assert.deepEqual(missing({ ...FOUND, 'ml/ca': { other: 'x' } }), { missing: 'Secret ml/ca has no key "ca.crt"' });
});
