import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import {
  type EndpointGroup,
  EndpointGroupSchema,
  GatewaySchema,
  type Model,
  ModelSchema,
} from '../../proto/gen/fairlead/v1/table_pb.js';
import { LINGER_MS, Linger } from './linger.ts';
import type { RouteTable } from './route-table.ts';

const gateway = create(GatewaySchema);

function model(...backends: string[]): Model {
  return create(ModelSchema, { id: 'm', backends: backends.map(name => ({ name })) });
}

function group(...addresses: string[]): EndpointGroup {
  return create(EndpointGroupSchema, {
    endpoints: addresses.map(address => ({ address, id: address, name: address })),
  });
}

function table(models: Record<string, Model>, endpoints: Record<string, EndpointGroup>): RouteTable {
  return {
    version: '1',
    gateway,
    models: new Map(Object.entries(models)),
    endpoints: new Map(Object.entries(endpoints)),
    consumers: new Map(),
    agents: 1,
    secrets: new Map(),
  };
}

function addresses(seen: RouteTable | undefined, name: string): string[] {
  return (seen?.endpoints.get(name)?.endpoints ?? []).map(endpoint => endpoint.address);
}

/** The agent takes a table, and the picker follows it at `nowMs`. */
function follow(linger: Linger, next: RouteTable, nowMs: number): void {
  linger.replace(next);
  linger.picked(nowMs);
}

test('a table that drops nothing passes as it is', () => {
  const linger = new Linger();
  const same = model('b');
  const first = table({ 'ns/a': same }, { 'ns/a/b': group('1:1') });
  follow(linger, first, 0);
  assert.deepEqual(linger.table(0), { table: first, retired: [] });
  const second = table({ 'ns/a': same }, { 'ns/a/b': group('1:1', '2:1') });
  follow(linger, second, 10);
  assert.equal(linger.table(10)?.table, second);
  assert.equal(linger.nextExpiryMs(), undefined);
});

test('a dropped endpoint stays for LINGER_MS, and not longer', () => {
  const linger = new Linger();
  const [same, other] = [model('b'), group('9:1')];
  follow(linger, table({ 'ns/a': same }, { 'ns/a/b': group('1:1', '2:1'), 'ns/c/d': other }), 0);
  const next = table({ 'ns/a': same }, { 'ns/a/b': group('2:1'), 'ns/c/d': other });
  follow(linger, next, 100);
  assert.deepEqual(addresses(linger.table(100)?.table, 'ns/a/b'), ['2:1', '1:1']);
  assert.equal(linger.table(100)?.table.endpoints.get('ns/c/d'), other, 'an unchanged group is the same object');
  assert.equal(linger.nextExpiryMs(), 100 + LINGER_MS);
  assert.equal(linger.table(100 + LINGER_MS)?.table, next);
});

test('a dropped model stays with its endpoints', () => {
  const linger = new Linger();
  const gone = model('b');
  follow(linger, table({ 'ns/a': gone }, { 'ns/a/b': group('1:1') }), 0);
  follow(linger, table({}, {}), 0);
  const seen = linger.table(1);
  assert.equal(seen?.table.models.get('ns/a'), gone);
  assert.deepEqual(addresses(seen?.table, 'ns/a/b'), ['1:1']);
  assert.equal(linger.table(LINGER_MS)?.table.models.size, 0);
});

test('a changed model keeps its former backends and timeouts reachable', () => {
  const linger = new Linger();
  const [before, after] = [model('old', 'kept'), model('kept')];
  follow(linger, table({ 'ns/a': before }, { 'ns/a/old': group('1:1'), 'ns/a/kept': group('2:1') }), 0);
  follow(linger, table({ 'ns/a': after }, { 'ns/a/kept': group('2:1') }), 0);
  const seen = linger.table(0);
  assert.deepEqual(
    seen?.table.models.get('ns/a')?.backends.map(backend => backend.name),
    ['kept', 'old'],
  );
  assert.deepEqual(seen?.retired, [before]);
  assert.deepEqual(addresses(seen?.table, 'ns/a/old'), ['1:1']);
  assert.equal(linger.table(LINGER_MS)?.table.models.get('ns/a'), after);
  assert.deepEqual(linger.table(LINGER_MS)?.retired, []);
});

test('an endpoint that comes back does not stand there twice', () => {
  const linger = new Linger();
  const same = model('b');
  follow(linger, table({ 'ns/a': same }, { 'ns/a/b': group('1:1') }), 0);
  follow(linger, table({ 'ns/a': same }, { 'ns/a/b': group() }), 0);
  const back = table({ 'ns/a': same }, { 'ns/a/b': group('1:1') });
  follow(linger, back, 10);
  assert.equal(linger.table(10)?.table, back);
});

test('what is dropped stays for as long as the picker follows the older table', () => {
  const linger = new Linger();
  const same = model('b');
  follow(linger, table({ 'ns/a': same }, { 'ns/a/b': group('1:1') }), 0);
  linger.replace(table({ 'ns/a': same }, { 'ns/a/b': group() }));
  const late = 10 * LINGER_MS;
  assert.deepEqual(addresses(linger.table(late)?.table, 'ns/a/b'), ['1:1']);
  assert.equal(linger.nextExpiryMs(), undefined);
  linger.picked(late);
  assert.equal(linger.nextExpiryMs(), late + LINGER_MS);
});

test('two hundred thousand endpoints can be dropped at once', () => {
  const linger = new Linger();
  const same = model('b');
  const [endpoint] = group('1:1').endpoints;
  const many = Array.from({ length: 200_000 }, (_, index) => ({
    ...(endpoint ?? assert.fail()),
    address: `${index}:1`,
  }));
  follow(linger, table({ 'ns/a': same }, { 'ns/a/b': { ...group(), endpoints: many } }), 0);
  follow(linger, table({ 'ns/a': same }, { 'ns/a/b': group() }), 0);
  assert.equal(linger.nextExpiryMs(), LINGER_MS);
});
