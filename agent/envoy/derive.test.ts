import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import {
  AuthenticationMode,
  AuthenticationSchema,
  ConsumerSchema,
  EndpointGroupSchema,
  LimitSchema,
} from '../../proto/gen/fairlead/v1/table_pb.js';
import type { RouteTable } from '../table/route-table.ts';
import { deriveEnvoy, type EnvoyResources } from './derive.ts';
import {
  CLUSTER_TYPE,
  ENDPOINT_TYPE,
  encodeResource,
  LISTENER_TYPE,
  type ResourceType,
  ROUTE_TYPE,
  SECRET_TYPE,
} from './encode.ts';
import { SAMPLE_TIMEOUTS, sampleTable } from './sample-table.fixture.ts';
import type { EnvoySettings } from './settings.ts';

const SETTINGS: EnvoySettings = { accessLogPath: '/dev/stdout' };
const TYPES = [LISTENER_TYPE, ROUTE_TYPE, CLUSTER_TYPE, ENDPOINT_TYPE, SECRET_TYPE] as const;

const two = sampleTable({
  'ml/llama': { backends: { fast: [['10.0.0.1:8000', 'llama-0']], slow: [['10.0.0.2:8000', 'llama-1']] } },
  'ml/qwen': { backends: { main: [['10.0.0.3:8000', 'qwen-0']] } },
});

test('every model has a cluster and a load assignment of its name, every port a listener, all one route set', () => {
  const derived = deriveEnvoy(
    sampleTable(
      { 'ml/llama': { backends: { a: [] } }, 'other/qwen': { backends: {} } },
      {
        listeners: [
          { name: 'http', address: '0.0.0.0', port: 8888 },
          { name: 'inside', address: '127.0.0.1', port: 9999 },
        ],
      },
    ),
    SETTINGS,
  );
  const names = TYPES.map(type => [...derived[type].keys()]);
  const models = ['ml/llama', 'other/qwen'];
  assert.deepEqual(names, [['http', 'inside'], ['gateway'], models, models, []]);
});

test('what did not change is the same object, and so the same bytes', () => {
  const before = deriveEnvoy(two, SETTINGS);
  const after = deriveEnvoy({ ...two, models: new Map(two.models), endpoints: new Map(two.endpoints) }, SETTINGS);
  assert.deepEqual(changed(before, after), []);
});

test('a changed endpoint group changes the load assignment of its model only', () => {
  const group = create(EndpointGroupSchema, { endpoints: [{ address: '10.0.0.9:8000', name: 'llama-9' }] });
  const endpoints = new Map([...two.endpoints, ['ml/llama/slow', group]]);
  const [before, after] = [deriveEnvoy(two, SETTINGS), deriveEnvoy({ ...two, endpoints }, SETTINGS)];
  assert.deepEqual(changed(before, after), [`${ENDPOINT_TYPE} ml/llama`]);
});

test('a group that is gone or has not come counts as empty', () => {
  const endpoints = new Map([...two.endpoints].filter(([name]) => name !== 'ml/llama/slow'));
  const { endpoints: localities } = derivedAssignment({ ...two, endpoints }, 'ml/llama');
  assert.equal(localities?.[0]?.lbEndpoints?.length, 1);
});

test('other timeouts of one model change its cluster and the routes', () => {
  const slow = sampleTable({
    'ml/llama': { timeouts: { ...SAMPLE_TIMEOUTS, connectMs: 1_000, headersMs: 5_000 }, backends: {} },
  });
  const models = new Map([...two.models, ...slow.models]);
  const [before, after] = [deriveEnvoy(two, SETTINGS), deriveEnvoy({ ...two, models }, SETTINGS)];
  assert.deepEqual(versionsChanged(before, after), [
    `${ROUTE_TYPE} gateway`,
    `${CLUSTER_TYPE} ml/llama`,
    `${ENDPOINT_TYPE} ml/llama`,
  ]);
});

test('timeouts of retired models keep their routes, also when derived in between without them', () => {
  const retired = [...sampleTable({ x: { timeouts: { requestMs: 7 }, backends: {} } }).models.values()];
  const routeNames = (more?: typeof retired) => {
    const routes = deriveEnvoy(two, SETTINGS, more)[ROUTE_TYPE].get('gateway')?.virtualHosts?.[0]?.routes ?? [];
    return routes.map(({ name }) => name);
  };
  assert.ok(routeNames(retired).includes('r7-h0-i0-a2'));
  assert.ok(!routeNames().includes('r7-h0-i0-a2'));
  assert.ok(routeNames(retired).includes('r7-h0-i0-a2'));
});

test('settings are part of the listeners', () => {
  const before = deriveEnvoy(two, SETTINGS);
  const after = deriveEnvoy(two, { ...SETTINGS, accessLogPath: '/tmp/access.json' });
  assert.deepEqual(versionsChanged(before, after), [`${LISTENER_TYPE} http`]);
});

test('a version is a function of the content, not of the process or the order of parts', () => {
  const again = sampleTable({ 'ml/qwen': { backends: { main: [['10.0.0.3:8000', 'qwen-0']] } } });
  const cluster = (table: RouteTable) =>
    encodeResource(ENDPOINT_TYPE, 'ml/qwen', derivedAssignment(table, 'ml/qwen')).version;
  assert.equal(cluster(again), cluster(two));
});

test('JSON that is not of the type does not encode', () => {
  assert.throws(() => encodeResource(CLUSTER_TYPE, 'x', { nameOfNoField: 1 }), /nameOfNoField/);
});

function derivedAssignment(table: RouteTable, name: string) {
  const json = deriveEnvoy(table, SETTINGS)[ENDPOINT_TYPE].get(name);
  assert.ok(json);
  return json;
}

/** "type name" of every resource that is another object. */
function changed(before: EnvoyResources, after: EnvoyResources): string[] {
  return differing(before, after, (_type, _name, json) => json);
}

function versionsChanged(before: EnvoyResources, after: EnvoyResources): string[] {
  return differing(before, after, (type, name, json) => encodeResource(type, name, json).version);
}

function differing(
  before: EnvoyResources,
  after: EnvoyResources,
  identity: (type: ResourceType, name: string, json: object) => unknown,
): string[] {
  return TYPES.flatMap(type =>
    [...after[type]]
      .filter(([name, json]) => {
        const old = before[type].get(name);
        return !old || identity(type, name, old) !== identity(type, name, json);
      })
      .map(([name]) => `${type} ${name}`),
  );
}

const listeners = [
  { name: 'http', address: '0.0.0.0', port: 8888 },
  { name: 'https', address: '0.0.0.0', port: 8443, tls: { secret: 'ml/tls' } },
];

test('a listener without its certificate is left out, and the others are the same objects', () => {
  const without = sampleTable({}, { listeners });
  const secrets = sampleTable({}, {}, { 'ml/tls': { 'tls.crt': 'c', 'tls.key': 'k' }, 'ml/other': {} }).secrets;
  const [closed, open] = [deriveEnvoy(without, SETTINGS), deriveEnvoy({ ...without, secrets }, SETTINGS)];
  assert.deepEqual([...closed[LISTENER_TYPE].keys()], ['http']);
  assert.equal(closed[SECRET_TYPE].size, 0);
  assert.deepEqual(closed.closed, [{ name: 'https', json: open[LISTENER_TYPE].get('https'), secret: 'ml/tls' }]);
  assert.deepEqual(open.closed, []);
  assert.deepEqual(changed(closed, open), [`${LISTENER_TYPE} https`, `${SECRET_TYPE} ml/tls`]);
});

test('another certificate changes the secret and nothing else', () => {
  const table = sampleTable({}, { listeners }, { 'ml/tls': { 'tls.crt': 'c', 'tls.key': 'k' } });
  const { secrets } = sampleTable({}, {}, { 'ml/tls': { 'tls.crt': 'd', 'tls.key': 'l' } });
  const [before, after] = [deriveEnvoy(table, SETTINGS), deriveEnvoy({ ...table, secrets }, SETTINGS)];
  assert.deepEqual(changed(before, after), [`${SECRET_TYPE} ml/tls`]);
});

test('another origin changes the routes and nothing else', () => {
  const table = sampleTable({}, { listeners });
  const gateway = { ...table.gateway, corsAllowOrigins: ['https://a.example'] };
  const [before, after] = [deriveEnvoy(table, SETTINGS), deriveEnvoy({ ...table, gateway }, SETTINGS)];
  const bytes = (derived: EnvoyResources) =>
    [...derived[LISTENER_TYPE]].map(([name, json]) => encodeResource(LISTENER_TYPE, name, json).version);
  assert.deepEqual(bytes(before), bytes(after));
  assert.notDeepEqual(before[ROUTE_TYPE], after[ROUTE_TYPE]);
});

const jwtIssuers = [{ name: 'jwt-0', jwksUrl: 'https://idp/keys', ca: { secret: 'ml/ca', key: 'ca.crt' } }];
const tokens = create(AuthenticationSchema, { mode: AuthenticationMode.AUTHENTICATION_JWT, jwtIssuers });

test('the keys of an issuer have a cluster, another authority changes only that', () => {
  const table = sampleTable({}, { authentication: tokens }, { 'ml/ca': { 'ca.crt': 'c' } });
  const { secrets } = sampleTable({}, {}, { 'ml/ca': { 'ca.crt': 'd' } });
  const [before, after] = [deriveEnvoy(table, SETTINGS), deriveEnvoy({ ...table, secrets }, SETTINGS)];
  assert.deepEqual([...before[CLUSTER_TYPE].keys()], ['jwks jwt-0']);
  assert.deepEqual(changed(before, after), [`${CLUSTER_TYPE} jwks jwt-0`]);
  assert.deepEqual(changed(after, deriveEnvoy({ ...table, secrets: new Map(secrets) }, SETTINGS)), []);
  const without = deriveEnvoy({ ...table, secrets: new Map() }, SETTINGS);
  assert.equal(without[CLUSTER_TYPE].size, 0);
  assert.deepEqual(changed(before, without), []);
});

test('callers are told of limits where anything in the table has one', () => {
  const limits = [create(LimitSchema, { amount: 1n })];
  const told = (table: RouteTable) => JSON.stringify(deriveEnvoy(table, SETTINGS)[ROUTE_TYPE].get('gateway'));
  const model = two.models.get('ml/qwen') ?? assert.fail();
  const consumer = create(ConsumerSchema, { limits });
  assert.doesNotMatch(told(two), /x-ratelimit/);
  for (const limited of [
    { ...two, gateway: { ...two.gateway, limits } },
    { ...two, gateway: { ...two.gateway, anonymousLimits: limits } },
    { ...two, models: new Map([...two.models, ['ml/qwen', { ...model, limits }] as const]) },
    { ...two, consumers: new Map([['ml/ann', consumer]]) },
  ]) {
    const text = told(limited);
    for (const header of ['limit', 'remaining', 'reset'].flatMap(what => [`${what}-requests`, `${what}-tokens`])) {
      assert.ok(text.includes(`x-ratelimit-${header}`), header);
    }
    assert.match(text, /%DYNAMIC_METADATA\(fairlead:rl_reset_tokens\)%/);
  }
  assert.doesNotMatch(told(two), /x-ratelimit/);
});
