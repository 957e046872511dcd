import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { type ClusterState, objectKey } from '../source/cluster-state.ts';
import { type Plan, plan } from './plan.ts';
import { clusterState, modelDeployment, pod } from './test-state.fixture.ts';

const inCluster = { standalone: false };

describe('whatever happens', () => {
  // Drawn from a pool, so that one state shares objects with the next, as it does in life.
  const names = ['a', 'b', 'c', 'd'];
  const modelPool = names.flatMap(name =>
    names.flatMap(other =>
      [undefined, '1', '2'].map((version, age) => {
        const backends = [
          { name: 'pods', pods: { selector: { matchLabels: { app: other } }, port: 8000 } },
          { name: 'static', endpoints: ['gpu-box:8000'] },
        ];
        return modelDeployment(`ml/${name}`, { model: other, backends, ...(version && { version }) }, age);
      }),
    ),
  );
  const podPool = names.flatMap(name =>
    [1, 2].flatMap(host => [
      pod(`ml/${name}`, name, `10.0.0.${host}`),
      pod(`ml/${name}`, 'a', `10.0.0.${host}`, { ready: false }),
      pod(`ml/${name}`, 'b', `10.0.0.${host}`, { terminating: true }),
    ]),
  );
  const selector = ({ name }: { name: string }) => name;
  const models = fc.uniqueArray(fc.constantFrom(...modelPool), { selector });
  const pods = fc.uniqueArray(fc.constantFrom(...podPool), { selector });
  const hosts: fc.Arbitrary<ClusterState['hosts']> = fc.constantFrom(
    new Map(),
    new Map([['gpu-box', { ip: '10.0.0.1' }]]),
    new Map([['gpu-box', { failure: 'gone' }]]),
  );
  const states = fc
    .tuple(models, pods, hosts)
    .map(([models, pods, hosts]): ClusterState => clusterState(models, pods, { hosts }));

  const sorted = <Value>(map: ReadonlyMap<string, Value>) => [...map].sort(([one], [other]) => (one < other ? -1 : 1));
  const outcome = (planned: Plan) => ({
    gateway: planned.gateway,
    models: sorted(planned.models),
    endpoints: sorted(planned.endpoints),
    statuses: sorted(planned.statuses),
    warnings: planned.warnings,
  });

  test('what a plan remembers makes no difference to what comes out', () => {
    fc.assert(
      fc.property(fc.array(states, { minLength: 1, maxLength: 6 }), sequence => {
        let previous: Plan | undefined;
        for (const state of sequence) {
          previous = plan(state, inCluster, previous);
          assert.deepEqual(outcome(previous), outcome(plan(state, inCluster)));
        }
      }),
    );
  });

  test('any earlier plan will do, not only the last', () => {
    fc.assert(
      fc.property(states, states, states, (one, two, three) => {
        const first = plan(one, inCluster);
        const second = plan(two, inCluster, first);
        assert.deepEqual(outcome(plan(three, inCluster, first)), outcome(plan(three, inCluster)));
        assert.deepEqual(outcome(plan(three, inCluster, second)), outcome(plan(three, inCluster)));
      }),
    );
  });

  test('the order in which things are told makes no difference', () => {
    fc.assert(
      fc.property(states, state => {
        const reversed = clusterState(
          [...state.modelDeployments.values()].reverse(),
          [...state.pods.values()].reverse(),
          {
            hosts: state.hosts,
          },
        );
        assert.deepEqual(outcome(plan(reversed, inCluster)), outcome(plan(state, inCluster)));
      }),
    );
  });

  test('every model has a group for each backend, every group a model, and every resource a status', () => {
    fc.assert(
      fc.property(states, state => {
        const planned = plan(state, inCluster);
        const groups = [...planned.models].flatMap(([key, { backends }]) =>
          backends.map(({ name }) => `${key}/${name}`),
        );
        assert.deepEqual([...planned.endpoints.keys()].sort(), groups.sort());
        assert.deepEqual(
          [...planned.statuses.keys()].sort(),
          [...state.modelDeployments.values()].map(objectKey).sort(),
        );
        for (const group of planned.endpoints.values()) {
          const addresses = group.endpoints.map(({ address }) => address);
          assert.equal(new Set(addresses).size, addresses.length);
        }
      }),
    );
  });
});
