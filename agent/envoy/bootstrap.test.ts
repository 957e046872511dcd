import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bootstrap } from './bootstrap.ts';

const SETTINGS = {
  nodeId: 'node-1',
  agentSocket: '/run/agent.sock',
  extprocSocket: '/run/extproc.sock',
  admin: '/run/admin.sock',
  maxHeapBytes: 2 ** 31,
};

test('the three clusters that must be there first lead to the sockets of the node', () => {
  const clusters = bootstrap(SETTINGS).staticResources?.clusters ?? [];
  assert.deepEqual(
    clusters.map(({ name, loadAssignment }) => [
      name,
      loadAssignment?.endpoints?.[0]?.lbEndpoints?.[0]?.endpoint?.address,
    ]),
    [
      ['agent', { pipe: { path: '/run/agent.sock' } }],
      ['xp', { pipe: { path: '/run/extproc.sock' } }],
      ['als', { pipe: { path: '/run/extproc.sock' } }],
    ],
  );
});

test('the admin interface is a socket or an address', () => {
  assert.deepEqual(bootstrap(SETTINGS).admin, { address: { pipe: { path: '/run/admin.sock' } } });
  assert.deepEqual(bootstrap({ ...SETTINGS, admin: '127.0.0.1:9901' }).admin, {
    address: { socketAddress: { address: '127.0.0.1', portValue: 9901 } },
  });
});
