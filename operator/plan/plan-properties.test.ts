import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { type ClusterState, objectKey } from '../source/cluster-state.ts';
import { type Plan, plan } from './plan.ts';
import { byKey, clusterState, consumer, inferenceGateway, modelDeployment, pod } from './test-state.fixture.ts';

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
  const consumerPool = names.flatMap(name =>
    ['team', 'org'].flatMap((namespace, age) => [
      consumer(`${namespace}/${name}`, { users: ['u'] }, age),
      consumer(`${namespace}/${name}`, { apiKeys: [{ secretRef: { name: 'key' } }] }, age),
      consumer(`${namespace}/${name}`, { budget: { amount: '1', currency: 'EUR', period: 'day' } }, age),
    ]),
  );
  const consumers = fc.uniqueArray(fc.constantFrom(...consumerPool), {
    selector: ({ namespace, name }) => `${namespace}/${name}`,
  });
  const valkey = { url: 'valkey://v:6379', secretRef: { name: 'key', key: 'api-key' } };
  const gateways = fc.constantFrom(
    [],
    [inferenceGateway('team/g', { authentication: { mode: 'apiKeys' } })],
    [inferenceGateway('org/g', { limits: { store: 'valkey', valkey } })],
  );
  const stored = ['1', '2'].map(key => ({ data: { 'api-key': new Uint8Array(Buffer.from(key)) } }));
  const secrets: fc.Arbitrary<ClusterState['secrets']> = fc
    .tuple(fc.constantFrom(...stored), fc.constantFrom(...stored))
    .map(([team, org]) => new Map([['team/key', team] as const, ['org/key', org] as const]));
  const states = fc
    .tuple(models, pods, hosts, consumers, gateways, secrets)
    .map(
      ([models, pods, hosts, consumers, gateways, secrets]): ClusterState =>
        clusterState(models, pods, { hosts, consumers: byKey(consumers), gateways, secrets }),
    );

  const sorted = <Value>(map: ReadonlyMap<string, Value>) => [...map].sort(([one], [other]) => (one < other ? -1 : 1));
  const outcome = (planned: Plan) => ({
    gateway: planned.gateway,
    models: sorted(planned.models),
    endpoints: sorted(planned.endpoints),
    statuses: sorted(planned.statuses),
    consumers: sorted(planned.consumers),
    consumerStatuses: sorted(planned.consumerStatuses),
    secrets: sorted(planned.secrets),
    gatewayStatuses: sorted(planned.gatewayStatuses),
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
          { ...state, consumers: byKey([...state.consumers.values()].reverse()) },
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
