import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { ClusterState } from '../source/cluster-state.ts';
import { plan } from './plan.ts';
import { clusterState, modelDeployment, pod } from './test-state.fixture.ts';

const inCluster = { standalone: false };

describe('a plan after another', () => {
  const models = ['a', 'b', 'c'].map(name => modelDeployment(`ml/${name}`));
  const pods = ['a', 'b', 'c'].map((app, index) => pod(`ml/pod-${app}`, app, `10.0.0.${index}`));
  const state = clusterState(models, pods);
  const changed = <Value>(one: ReadonlyMap<string, Value>, other: ReadonlyMap<string, Value>) =>
    [...new Set([...one.keys(), ...other.keys()])].filter(key => one.get(key) !== other.get(key));

  test('of the same state is the same objects', () => {
    const before = plan(state, inCluster);
    const again = plan(clusterState(models, pods), inCluster, before);
    for (const part of ['gateway', 'models', 'endpoints', 'statuses', 'warnings'] as const) {
      assert.equal(again[part], before[part], part);
    }
  });

  test('after one pod changed touches one group', () => {
    const before = plan(state, inCluster);
    const moved = pods.map(p => (p.name === 'pod-b' ? { ...p, ip: '10.1.1.1' } : p));
    const after = plan({ ...state, pods: clusterState([], moved).pods }, inCluster, before);
    assert.equal(after.models, before.models);
    assert.deepEqual(changed(before.endpoints, after.endpoints), ['ml/b/gpu']);
    assert.deepEqual(
      after.endpoints.get('ml/b/gpu')?.endpoints.map(({ address }) => address),
      ['10.1.1.1:8000'],
    );
    assert.equal(after.statuses, before.statuses);
  });

  test('after a pod is ready no more tells so in one status', () => {
    const before = plan(state, inCluster);
    const failed = pods.map(p => (p.name === 'pod-b' ? { ...p, ready: false } : p));
    const after = plan({ ...state, pods: clusterState([], failed).pods }, inCluster, before);
    assert.deepEqual(changed(before.statuses, after.statuses), ['ml/b']);
    assert.equal(after.statuses.get('ml/b')?.endpoints.ready, 0);
    assert.equal(after.models, before.models);
  });

  test('after a pod changed that nobody selects is the same objects', () => {
    const before = plan(state, inCluster);
    const after = plan(clusterState(models, [...pods, pod('ml/x', 'x', '10.0.0.9')]), inCluster, before);
    assert.equal(after.endpoints, before.endpoints);
    assert.equal(after.statuses, before.statuses);
  });

  test('after a resource moved within its file is the same objects', () => {
    const before = plan(state, inCluster);
    const origin = { kind: 'file', file: 'm.yaml', line: 9, column: 1 } as const;
    const after = plan(
      clusterState(
        models.map(md => ({ ...md, origin })),
        pods,
      ),
      inCluster,
      before,
    );
    assert.equal(after.models, before.models);
    assert.equal(after.endpoints, before.endpoints);
    assert.equal(after.statuses, before.statuses);
  });

  test('after one model changed touches that one', () => {
    const before = plan(state, inCluster);
    const edited = models.map(md =>
      md.name === 'b' ? modelDeployment('ml/b', { routing: { strategy: 'random' } }) : md,
    );
    const after = plan(clusterState(edited, pods), inCluster, before);
    assert.deepEqual(changed(before.models, after.models), ['ml/b']);
    assert.deepEqual(changed(before.endpoints, after.endpoints), ['ml/b/gpu']);
  });

  test('after a newer version came takes the bare name from the older one, and gives it back', () => {
    const before = plan(state, inCluster);
    const v1 = modelDeployment('ml/v1', { model: 'm', version: '1' });
    const v2 = modelDeployment('ml/v2', { model: 'm', version: '2' });
    const one = plan(clusterState([...models, v1], pods), inCluster, before);
    const two = plan(clusterState([...models, v1, v2], pods), inCluster, one);
    assert.deepEqual(changed(one.models, two.models).sort(), ['ml/v1', 'ml/v2']);
    assert.deepEqual(two.models.get('ml/v1')?.names, ['m@1']);
    const back = plan(clusterState([...models, v1], pods), inCluster, two);
    assert.deepEqual(back.models.get('ml/v1')?.names, ['m', 'm@1']);
    assert.equal(back.models.has('ml/v2'), false);
    assert.equal(back.endpoints.has('ml/v2/gpu'), false);
    assert.equal(back.statuses.has('ml/v2'), false);
  });

  test('after a host moved touches those on it', () => {
    const at = (ip: string): ClusterState['hosts'] => new Map([['gpu-box', { ip }]]);
    const list = [
      modelDeployment('ml/x', { backends: [{ name: 's', endpoints: ['gpu-box:1'] }] }),
      modelDeployment('ml/y', { backends: [{ name: 's', endpoints: ['10.0.0.1:1'] }] }),
    ];
    const one = plan(clusterState(list, [], { hosts: at('10.0.0.2') }), inCluster);
    const two = plan(clusterState(list, [], { hosts: at('10.0.0.3') }), inCluster, one);
    assert.deepEqual(changed(one.endpoints, two.endpoints), ['ml/x/s']);
    const three = plan(clusterState(list, [], { hosts: at('10.0.0.3') }), inCluster, two);
    assert.equal(three.endpoints, two.endpoints);
  });
});
