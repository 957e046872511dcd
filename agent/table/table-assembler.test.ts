import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import {
  AuthenticationMode,
  type AuthenticationSchema,
  EndpointGroupSchema,
  GatewaySchema,
  type LimitStoreSchema,
  ModelSchema,
} from '../../proto/gen/fairlead/v1/table_pb.js';
import {
  CONSUMER_TYPE,
  ENDPOINT_GROUP_TYPE,
  FLEET_TYPE,
  GATEWAY_TYPE,
  MODEL_TYPE,
  SECRET_TYPE,
  TABLE_VERSION_TYPE,
} from '../../proto/table-types.ts';
import type { Resource } from '../../xds/resource.ts';
import { diffTables } from './diff.ts';
import type { RouteTable } from './route-table.ts';
import { type Assembled, TableAssembler } from './table-assembler.ts';
import {
  consumerPart,
  endpointsPart,
  fleetPart,
  GARBAGE,
  gatewayPart,
  modelPart,
  secretPart,
  versionPart,
} from './table-parts.fixture.ts';

/** Gives the assembler parts, each in an update of its own; returns what became of the last. */
function give(assembler: TableAssembler, ...parts: Resource[]): Assembled {
  let last: Assembled = { refused: undefined, table: undefined };
  for (const part of parts) {
    last = assembler.take({ typeUrl: part.typeUrl, upserts: [part], removals: [], systemVersion: '' });
  }
  return last;
}

function remove(assembler: TableAssembler, typeUrl: string, ...removals: string[]): Assembled {
  return assembler.take({ typeUrl, upserts: [], removals, systemVersion: '' });
}

const ISSUER = { name: 'jwt-0', issuer: 'https://idp', jwksUrl: 'https://idp/keys' };

/** A gateway that authenticates so. */
function gatewayOf(
  authentication: MessageInitShape<typeof AuthenticationSchema>,
  limitStore: MessageInitShape<typeof LimitStoreSchema> = {},
): Resource {
  const listeners = [{ name: 'http', address: '0.0.0.0', port: 8888 }];
  const gateway = create(GatewaySchema, { listeners, authentication, limitStore });
  return { ...gatewayPart('auth'), body: toBinary(GatewaySchema, gateway) };
}

test('nothing is handed out before the version that completes it', () => {
  const assembler = new TableAssembler();
  const parts = [gatewayPart('1'), modelPart('ml/a', '1'), endpointsPart('ml/a/x', '10.0.0.1:80')];
  for (const part of parts) assert.equal(give(assembler, part).table, undefined);
  assert.deepEqual(assembler.resources(), []);
  const table = give(assembler, versionPart('1-a')).table;
  assert.equal(table?.version, '1-a');
  assert.equal(table.gateway.listeners[0]?.name, '1');
  assert.equal(table.models.get('ml/a')?.version, '1');
  assert.equal(table.endpoints.get('ml/a/x')?.endpoints.length, 1);
  assert.deepEqual(assembler.resources(), [...parts, versionPart('1-a')]);
});

test('a table is not touched by what comes after it, and shares what did not change', () => {
  const assembler = new TableAssembler();
  const first = give(
    assembler,
    gatewayPart('1'),
    modelPart('ml/a', '1'),
    modelPart('ml/b', '1'),
    versionPart('1'),
  ).table;
  give(assembler, modelPart('ml/b', '2'));
  remove(assembler, MODEL_TYPE, 'ml/a');
  const second = give(assembler, modelPart('ml/c', '1'), versionPart('2')).table;
  assert.deepEqual([...(first?.models.keys() ?? [])], ['ml/a', 'ml/b']);
  assert.equal(first?.models.get('ml/b')?.version, '1');
  assert.deepEqual([...(second?.models.keys() ?? [])], ['ml/b', 'ml/c']);
  assert.equal(second?.gateway, first?.gateway);
  assert.equal(second?.endpoints, first?.endpoints);
});

test('a part that cannot be used is refused by name, and the old one stays', () => {
  const assembler = new TableAssembler();
  give(assembler, gatewayPart('1'), modelPart('ml/a', '1'), endpointsPart('ml/a/x', '10.0.0.1:80'), versionPart('1'));
  const model = (init: Parameters<typeof create<typeof ModelSchema>>[1]) =>
    toBinary(ModelSchema, create(ModelSchema, init));
  const named = { id: 'a', names: ['a'] };
  for (const [typeUrl, name, body, reason] of [
    [MODEL_TYPE, 'ml/a', GARBAGE, /ml\/a/],
    [MODEL_TYPE, 'ml/a', model({ timeouts: {} }), /no name/],
    [MODEL_TYPE, 'ml/a', model(named), /no timeouts/],
    [MODEL_TYPE, 'ml/a', model({ ...named, timeouts: {}, backends: [{ name: 'x' }, { name: 'x' }] }), /two backends/],
    [ENDPOINT_GROUP_TYPE, 'ml/a/x', GARBAGE, /ml\/a\/x/],
    [ENDPOINT_GROUP_TYPE, 'ml/a/x', endpointsPart('', 'gpu.local:80').body, /ip:port/],
    [ENDPOINT_GROUP_TYPE, 'ml/a/x', endpointsPart('', '10.0.0.1').body, /ip:port/],
    [
      ENDPOINT_GROUP_TYPE,
      'ml/a/x',
      toBinary(EndpointGroupSchema, create(EndpointGroupSchema, { endpoints: [{ address: '10.0.0.1:80' }] })),
      /identity/,
    ],
    [GATEWAY_TYPE, 'default', Uint8Array.of(), /no listener/],
    [GATEWAY_TYPE, 'other', gatewayPart('2').body, /named/],
    [GATEWAY_TYPE, 'default', gatewayOf({ jwtIssuers: [ISSUER, ISSUER] }).body, /two issuers/],
    [GATEWAY_TYPE, 'default', gatewayOf({ jwtIssuers: [{ ...ISSUER, jwksUrl: 'keys' }] }).body, /no URL/],
    [GATEWAY_TYPE, 'default', gatewayOf({ jwtIssuers: [{ ...ISSUER, jwksUrl: 'file:///keys' }] }).body, /no URL/],
    [CONSUMER_TYPE, 'ml/ann', consumerPart('', '2', new Uint8Array(31)).body, /digest/],
  ] as const) {
    const { refused } = give(assembler, { typeUrl, name, version: '2', body });
    assert.deepEqual(refused?.names, [name]);
    assert.match(refused.message, reason);
  }
  const { table } = give(assembler, versionPart('2'));
  assert.equal(table?.version, '2');
  assert.equal(table.models.get('ml/a')?.version, '1');
  assert.equal(table.endpoints.get('ml/a/x')?.endpoints[0]?.address, '10.0.0.1:80');
  assert.equal(table.gateway.listeners[0]?.name, '1');
});

test('IPv6 endpoints are usable', () => {
  const assembler = new TableAssembler();
  assert.equal(give(assembler, endpointsPart('ml/a/x', '[fd00::7]:8000', '[::ffff:10.0.0.1]:80')).refused, undefined);
});

test('without a gateway there is no table; what was collected comes with the first gateway', () => {
  const assembler = new TableAssembler();
  assert.equal(give(assembler, modelPart('ml/a', '1'), versionPart('1')).table, undefined);
  const table = give(assembler, gatewayPart('1'), versionPart('2')).table;
  assert.deepEqual([...(table?.models.keys() ?? [])], ['ml/a']);
});

test('a gateway or version that vanishes, or a version that cannot be read, leaves the table as it is', () => {
  const assembler = new TableAssembler();
  give(assembler, gatewayPart('1'), modelPart('ml/a', '1'), versionPart('1'));
  remove(assembler, GATEWAY_TYPE, 'default');
  remove(assembler, MODEL_TYPE, 'ml/a');
  assert.equal(remove(assembler, TABLE_VERSION_TYPE, 'default').table, undefined);
  assert.deepEqual(give(assembler, versionPart('')).refused?.names, ['default']);
  const next = give(assembler, modelPart('ml/b', '1'), versionPart('2')).table;
  assert.equal(next?.gateway.listeners[0]?.name, '1');
  assert.deepEqual([...next.models.keys()], ['ml/b']);
});

test('an answer that brings no new version completes what was collected of the old one, once', () => {
  const assembler = new TableAssembler();
  give(assembler, gatewayPart('1'), versionPart('1'));
  give(assembler, modelPart('ml/a', '1'));
  const synced = { typeUrl: TABLE_VERSION_TYPE, upserts: [], removals: [], systemVersion: '' };
  assert.equal(assembler.take(synced).table?.models.size, 1);
  assert.equal(assembler.take(synced).table, undefined);
});

test('deltas add up to tables', () => {
  const name = fc.constantFrom('ml/a', 'ml/b', 'ml/c');
  const step = fc.oneof(
    fc.record({ kind: fc.constant('put' as const), name, version: fc.constantFrom('1', '2') }),
    fc.record({ kind: fc.constant('remove' as const), name }),
    fc.record({ kind: fc.constant('complete' as const) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), steps => {
      const assembler = new TableAssembler();
      give(assembler, gatewayPart('1'));
      const followed = new Map<string, unknown>();
      let version = 0;
      let before: RouteTable | undefined;
      for (const each of steps) {
        if (each.kind === 'put') give(assembler, modelPart(each.name, each.version));
        if (each.kind === 'remove') remove(assembler, MODEL_TYPE, each.name);
        if (each.kind !== 'complete') continue;
        version += 1;
        const table = give(assembler, versionPart(String(version))).table;
        assert.ok(table);
        const { models, removedModels } = diffTables(before, table, 0);
        before = table;
        for (const [key, model] of models) followed.set(key, model);
        for (const key of removedModels) followed.delete(key);
        assert.deepEqual(followed, new Map(table.models));
        const kept = assembler.resources().filter(({ typeUrl }) => typeUrl === MODEL_TYPE);
        assert.deepEqual(new Set(kept.map(resource => resource.name)), new Set(followed.keys()));
      }
    }),
  );
});

function secretsOf(table: RouteTable | undefined): Record<string, string> {
  const secrets = [...(table?.secrets ?? [])];
  return Object.fromEntries(secrets.map(([name, { data }]) => [name, Buffer.from(data['tls.key'] ?? []).toString()]));
}

test('secrets are of the table, but not of what may be kept', () => {
  const assembler = new TableAssembler();
  const parts = [gatewayPart('1', 'ml/tls'), modelPart('ml/a', '1')];
  const table = give(assembler, ...parts, secretPart('ml/tls', 'key'), versionPart('1')).table;
  assert.deepEqual(secretsOf(table), { 'ml/tls': 'key' });
  assert.deepEqual(assembler.resources(), [...parts, versionPart('1')]);
});

test('a secret that is gone stays while a listener refers to it', () => {
  const assembler = new TableAssembler();
  const first = [gatewayPart('1', 'ml/a', 'ml/b'), secretPart('ml/a', 'a'), secretPart('ml/b', 'b')];
  give(assembler, ...first, versionPart('1'));
  remove(assembler, SECRET_TYPE, 'ml/a');
  assert.deepEqual(secretsOf(give(assembler, versionPart('2')).table), { 'ml/a': 'a', 'ml/b': 'b' });
  remove(assembler, SECRET_TYPE, 'ml/b');
  assert.deepEqual(secretsOf(give(assembler, gatewayPart('3', 'ml/a'), versionPart('3')).table), { 'ml/a': 'a' });
  give(assembler, secretPart('ml/a', 'new'));
  assert.deepEqual(secretsOf(give(assembler, gatewayPart('4'), versionPart('4')).table), { 'ml/a': 'new' });
  remove(assembler, SECRET_TYPE, 'ml/a');
  assert.deepEqual(secretsOf(give(assembler, versionPart('5')).table), {});
});

test('secrets that come to a table of the same version complete it anew: one from disk has none', () => {
  const assembler = new TableAssembler();
  give(assembler, gatewayPart('1', 'ml/tls'), versionPart('1'));
  give(assembler, secretPart('ml/tls', 'key'));
  const table = assembler.take({ typeUrl: TABLE_VERSION_TYPE, upserts: [], removals: [], systemVersion: '1' }).table;
  assert.equal(table?.version, '1');
  assert.deepEqual(secretsOf(table), { 'ml/tls': 'key' });
});

test('consumers are of the table and of what may be kept, each with a digest of its own', () => {
  const assembler = new TableAssembler();
  const parts = [gatewayPart('1'), consumerPart('ml/ann', '1'), consumerPart('ml/bob', '1')];
  const table = give(assembler, ...parts, versionPart('1')).table;
  assert.deepEqual([...(table?.consumers.keys() ?? [])], ['ml/ann', 'ml/bob']);
  const { sha256 } = table?.consumers.get('ml/ann')?.apiKeys[0] ?? assert.fail();
  assert.deepEqual([sha256.length, sha256.buffer.byteLength], [32, 32]);
  assert.deepEqual(assembler.resources(), [...parts, versionPart('1')]);
  remove(assembler, CONSUMER_TYPE, 'ml/ann');
  const next = give(assembler, versionPart('2')).table;
  assert.deepEqual([...(next?.consumers.keys() ?? [])], ['ml/bob']);
});

test('there is one agent until a control plane counts them; what it counted is not forgotten', () => {
  const assembler = new TableAssembler();
  assert.equal(give(assembler, gatewayPart('1'), versionPart('1')).table?.agents, 1);
  const synced = { typeUrl: TABLE_VERSION_TYPE, upserts: [], removals: [], systemVersion: '' };
  give(assembler, fleetPart(3));
  assert.equal(assembler.take(synced).table?.agents, 3);
  remove(assembler, FLEET_TYPE, 'default');
  assert.equal(give(assembler, versionPart('2')).table?.agents, 3);
  assert.equal(give(assembler, fleetPart(0), versionPart('3')).table?.agents, 1);
});

test('only a gateway that says nothing of authentication is open to everybody', () => {
  const mode = (gateway: Resource) =>
    give(new TableAssembler(), gateway, versionPart('1')).table?.gateway.authentication?.mode;
  const unknown = 99 as AuthenticationMode;
  assert.equal(mode(gatewayPart('1')), AuthenticationMode.AUTHENTICATION_NONE);
  assert.equal(mode(gatewayOf({})), AuthenticationMode.AUTHENTICATION_MODE_UNSPECIFIED);
  assert.equal(mode(gatewayOf({ mode: unknown })), unknown);
});

test('a secret that is gone stays while an issuer or the store of limits refers to it', () => {
  const assembler = new TableAssembler();
  const [ca, password] = [
    { secret: 'ml/ca', key: 'tls.key' },
    { secret: 'ml/valkey', key: 'tls.key' },
  ];
  const gateway = gatewayOf({ jwtIssuers: [{ ...ISSUER, ca }] }, { valkey: { url: 'valkey://v', password } });
  give(assembler, gateway, secretPart('ml/ca', 'c'), secretPart('ml/valkey', 'v'), versionPart('1'));
  remove(assembler, SECRET_TYPE, 'ml/ca', 'ml/valkey');
  assert.deepEqual(secretsOf(give(assembler, versionPart('2')).table), { 'ml/ca': 'c', 'ml/valkey': 'v' });
  assert.deepEqual(secretsOf(give(assembler, gatewayPart('3'), versionPart('3')).table), {});
});
