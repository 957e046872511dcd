import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { Pod } from '../cluster-state.ts';
import type { ApiObject } from './api-object.ts';
import { keepPod } from './pod-facts.ts';

const metadata = {
  namespace: 'ml',
  name: 'a',
  uid: 'u',
  resourceVersion: '1',
  creationTimestamp: '2026-01-01T00:00:00Z',
};
const READY = { type: 'Ready', status: 'True' };
const gates = { readinessGates: [{ conditionType: 'warm' }] };

const PODS: readonly [what: string, Partial<ApiObject>, Partial<Pod> | undefined][] = [
  ['a pod that was just made', {}, { ip: undefined, ready: false, terminating: false, ports: [], labels: {} }],
  ['a ready pod', { status: { podIP: '10.0.0.1', conditions: [READY] } }, { ip: '10.0.0.1', ready: true }],
  ['a pod that is not ready', { status: { conditions: [{ type: 'Ready', status: 'False' }] } }, { ready: false }],
  ['a pod of a lost node', { status: { conditions: [{ type: 'Ready', status: 'Unknown' }] } }, { ready: false }],
  ['a gate that nobody opened', { spec: gates, status: { conditions: [READY] } }, { ready: false }],
  [
    'a gate that is shut',
    { spec: gates, status: { conditions: [READY, { type: 'warm', status: 'False' }] } },
    { ready: false },
  ],
  [
    'a gate that is open',
    { spec: gates, status: { conditions: [READY, { type: 'warm', status: 'True' }] } },
    { ready: true },
  ],
  [
    'a pod on its way out',
    { metadata: { ...metadata, deletionTimestamp: '2026-01-01T00:00:00Z' } },
    { terminating: true },
  ],
  ['a pod that has lost its address', { status: { podIP: '' } }, { ip: undefined }],
  ['labels', { metadata: { ...metadata, labels: { app: 'llama' } } }, { labels: { app: 'llama' } }],
  [
    'the ports of containers and sidecars, not of those that only prepare',
    {
      spec: {
        containers: [{ ports: [{ containerPort: 8_000 }, { containerPort: 9_000 }] }, {}],
        initContainers: [
          { restartPolicy: 'Always', ports: [{ containerPort: 8_001 }] },
          { ports: [{ containerPort: 1 }] },
        ],
      },
    },
    { ports: [8_000, 9_000, 8_001] },
  ],
  ['a pod that succeeded', { status: { phase: 'Succeeded' } }, undefined],
  ['a pod that failed', { status: { phase: 'Failed', podIP: '10.0.0.1', conditions: [READY] } }, undefined],
];

suite('what is kept of a pod', () => {
  for (const [what, object, expected] of PODS) {
    test(what, () => {
      const pod = keepPod({ metadata, ...object }, undefined);
      if (expected === undefined) assert.equal(pod, undefined);
      else assert.deepEqual({ ...pod, ...expected }, pod);
    });
  }

  test('is the same object while it says the same, and another for another pod of the name', () => {
    const object = { metadata, status: { podIP: '10.0.0.1', conditions: [READY] } };
    const pod = keepPod(object, undefined);
    const again = { ...object, metadata: { ...metadata, resourceVersion: '2' }, spec: { nodeName: 'n' } };
    assert.equal(keepPod(again, pod), pod);
    const other = keepPod({ ...object, metadata: { ...metadata, uid: 'v' } }, pod);
    assert.notEqual(other, pod);
    assert.equal(other?.uid, 'v');
  });

  test('holds nothing else', () => {
    const pod = keepPod({ metadata, spec: { nodeName: 'n' }, status: { hostIP: '10.0.0.9' } }, undefined);
    assert.deepEqual(Object.keys(pod ?? {}).sort(), [
      ...['ip', 'labels', 'name', 'namespace', 'ports', 'ready', 'terminating', 'uid'],
    ]);
  });
});
