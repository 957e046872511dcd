import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { EndpointGroupSchema } from '../../proto/gen/fairlead/v1/table_pb.js';
import { loadAssignment, socketAddress } from './load-assignment.ts';

function group(...endpoints: { address: string; name: string; draining?: boolean }[]) {
  return create(EndpointGroupSchema, { endpoints });
}

function hosts(...backends: Parameters<typeof loadAssignment>[1]): unknown[] {
  const { endpoints } = loadAssignment('ml/llama', backends);
  assert.equal(endpoints?.length, 1);
  return (endpoints[0]?.lbEndpoints ?? []).map(({ endpoint, metadata }) => {
    const { address, portValue } = endpoint?.address?.socketAddress ?? {};
    return [address, portValue, metadata?.filterMetadata?.fairlead];
  });
}

test('all endpoints of all backends are hosts of the model, and say whose they are', () => {
  assert.deepEqual(
    hosts(
      { backend: 'fast', group: group({ address: '10.0.0.7:8000', name: 'a-0' }) },
      { backend: 'late', group: undefined },
      { backend: 'slow', group: group({ address: '[fd00::7]:8001', name: 'b-0', draining: true }) },
    ),
    [
      ['10.0.0.7', 8000, { pod: 'a-0', backend: 'fast' }],
      ['fd00::7', 8001, { pod: 'b-0', backend: 'slow' }],
    ],
  );
});

test('an address is listed once, for the backend that comes first', () => {
  const shared = group({ address: '10.0.0.7:8000', name: 'a-0' });
  assert.deepEqual(hosts({ backend: 'one', group: shared }, { backend: 'two', group: shared }), [
    ['10.0.0.7', 8000, { pod: 'a-0', backend: 'one' }],
  ]);
});

test('a model without endpoints has an assignment all the same: Envoy waits for one', () => {
  assert.deepEqual(loadAssignment('ml/llama', []), { clusterName: 'ml/llama', endpoints: [{ lbEndpoints: [] }] });
});

test('an address and its port come apart', () => {
  const port = fc.integer({ min: 1, max: 65_535 });
  fc.assert(
    fc.property(fc.ipV4(), port, (address, portValue) => {
      assert.deepEqual(socketAddress(`${address}:${portValue}`), { address, portValue });
    }),
  );
  fc.assert(
    fc.property(fc.ipV6(), port, (address, portValue) => {
      assert.deepEqual(socketAddress(`[${address}]:${portValue}`), { address, portValue });
    }),
  );
});

test('what is no address with a port is a bug of the plan, not a host', () => {
  for (const bad of ['', '10.0.0.7', ':8000', '10.0.0.7:', '10.0.0.7:http', '10.0.0.7:123456']) {
    assert.throws(() => socketAddress(bad), /not an address/, bad);
  }
});
