import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { EndpointGroupSchema, GatewaySchema, ModelSchema } from '../../proto/gen/fairlead/v1/table_pb.js';
import { diffTables } from './diff.ts';
import type { RouteTable } from './route-table.ts';

const gateway = create(GatewaySchema);
const [a, b, group] = [create(ModelSchema), create(ModelSchema), create(EndpointGroupSchema)];

function table(version: string, models: [string, typeof a][], groups: string[]): RouteTable {
  const endpoints = new Map(groups.map(name => [name, group]));
  return { version, gateway, models: new Map(models), endpoints, secrets: new Map() };
}

test('somebody who holds nothing is told everything', () => {
  assert.deepEqual(diffTables(undefined, table('1', [['m', a]], ['m/x']), 7), {
    version: '1',
    receivedAtMs: 7,
    gateway,
    models: [['m', a]],
    removedModels: [],
    endpoints: [['m/x', group]],
    removedEndpoints: [],
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
  );
  const after = table(
    '2',
    [
      ['m', b],
      ['o', a],
    ],
    ['m/x'],
  );
  const delta = diffTables(before, after, 8);
  assert.equal(delta.gateway, undefined);
  assert.deepEqual(
    delta.models.map(([name]) => name),
    ['m', 'o'],
  );
  assert.deepEqual(delta.removedModels, ['n']);
  assert.deepEqual([delta.endpoints, delta.removedEndpoints], [[], ['n/x']]);
});
