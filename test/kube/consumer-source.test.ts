import assert from 'node:assert/strict';
import { after, before, suite, type TestContext, test } from 'node:test';
import { customResourceDefinitions } from '../../crds/custom-resource-definition.ts';
import { type ClusterReading, type SourceEvent, watchCluster } from '../../operator/source/kubernetes.ts';
import { ApiObjects, apiOf } from './api-objects.ts';
import { Cluster } from './cluster.ts';

/** Nothing here takes this long; it only ends a test that would hang, milliseconds. */
const timeout = 90_000;

type Fields = Readonly<Record<string, unknown>>;

function consumerDocument(namespace: string, name: string, spec: Fields = {}): Fields {
  return { apiVersion: 'fairlead.dev/v1alpha1', kind: 'Consumer', metadata: { namespace, name }, spec };
}

function secretDocument(namespace: string, name: string, text: string): Fields {
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { namespace, name },
    stringData: { 'api-key': text, other: 'x' },
  };
}

suite('Consumers on a real API server', { timeout: 4 * timeout }, () => {
  let cluster: Cluster;
  let objects: ApiObjects;

  const define = async (wanted: (file: string) => boolean) => {
    const definitions = [...customResourceDefinitions()].filter(([file]) => wanted(file));
    const documents = definitions.map(([, definition]) => JSON.stringify(definition));
    await cluster.kubectl(['apply', '-f', '-'], documents.join('\n'));
    await cluster.kubectl(['wait', '--for=condition=Established', 'crd', '--all']);
  };

  before(async () => {
    cluster = await Cluster.start();
    objects = new ApiObjects(cluster);
    await define(file => file !== 'consumers.yaml');
    for (const namespace of ['ml', 'other']) await cluster.kubectl(['create', 'namespace', namespace]);
  });

  after(() => cluster?.stop());

  /** A watch whose readings can be waited for. */
  async function watching(t: TestContext, namespaces?: readonly string[]) {
    const abort = new AbortController();
    let latest: ClusterReading | undefined;
    const events: SourceEvent[] = [];
    let told = Promise.withResolvers<void>();
    const watch = await watchCluster({
      api: apiOf(cluster),
      ...(namespaces && { namespaces }),
      signal: abort.signal,
      onEvent: event => events.push(event),
      onState: reading => {
        latest = reading;
        told.resolve();
        told = Promise.withResolvers();
      },
    });
    t.after(async () => {
      abort.abort();
      await watch.ended;
    });
    const until = async (holds: (reading: ClusterReading) => boolean): Promise<ClusterReading> => {
      for (;;) {
        if (latest !== undefined && holds(latest)) return latest;
        await told.promise;
      }
    };
    return { events, until };
  }

  test('are none for an operator that is newer than their definition, until it is there', { timeout }, async t => {
    const whole = await watching(t);
    const scoped = await watching(t, ['ml', 'other']);
    for (const { until } of [whole, scoped]) assert.equal((await until(() => true)).state.consumers.size, 0);
    const unknown = ({ events }: typeof whole) =>
      events.flatMap(event => (event.event === 'source.not_installed' ? event.collection : []));
    const path = '/apis/fairlead.dev/v1alpha1';
    assert.deepEqual(unknown(whole), [`${path}/consumers`]);
    assert.deepEqual(unknown(scoped).sort(), [`${path}/namespaces/ml/consumers`, `${path}/namespaces/other/consumers`]);
    await define(() => true);
    await objects.apply(consumerDocument('ml', 'alice'));
    for (const { until } of [whole, scoped]) await until(({ state }) => state.consumers.has('ml/alice'));
    await objects.delete('consumer', 'ml', 'alice');
    for (const { until } of [whole, scoped]) await until(({ state }) => state.consumers.size === 0);
  });

  test('come with the Secrets that hold their keys, and stay what they were when these rotate', {
    timeout,
  }, async t => {
    const { until } = await watching(t);
    const spec = { apiKeys: [{ secretRef: { name: 'keys' } }], limits: [{ requests: 5, per: 'minute' }] };
    await objects.apply(secretDocument('ml', 'keys', 'fl-one'), consumerDocument('ml', 'alice', spec));
    const holds = (text: string) => (reading: ClusterReading) => {
      const key = reading.state.secrets.get('ml/keys')?.data?.['api-key'];
      return key !== undefined && Buffer.from(key).toString() === text;
    };
    const { state: first } = await until(holds('fl-one'));
    const alice = first.consumers.get('ml/alice') ?? assert.fail('no Consumer');
    assert.deepEqual(Object.keys(first.secrets.get('ml/keys')?.data ?? {}), ['api-key']);
    assert.deepEqual(
      alice.spec.limits.map(({ unit, periodSeconds }) => [unit, periodSeconds]),
      [['requests', 60]],
    );
    await objects.apply(secretDocument('ml', 'keys', 'fl-two'));
    const { state: second } = await until(holds('fl-two'));
    assert.equal(second.consumers, first.consumers);
    await objects.delete('consumer', 'ml', 'alice');
    await until(({ state }) => state.consumers.size === 0 && !state.secrets.has('ml/keys'));
  });

  test('that the API server lets pass and nobody can serve are told; others are served', { timeout }, async t => {
    const { until } = await watching(t);
    const budget = { amount: '1', currency: 'EUR', period: 'month', timeZone: 'Europe/Pari' };
    await objects.apply(consumerDocument('ml', 'alice', { budget }), consumerDocument('ml', 'bob'));
    const { state, refused } = await until(reading => reading.refused.length > 0 && reading.state.consumers.size > 0);
    assert.deepEqual([...state.consumers.keys()], ['ml/bob']);
    assert.deepEqual(
      refused.map(({ kind, name, problems }) => [kind, name, problems.map(({ path }) => path.join('.'))]),
      [['Consumer', 'alice', ['spec.budget.timeZone']]],
    );
    await objects.apply(consumerDocument('ml', 'alice', { budget: { ...budget, timeZone: 'Europe/Paris' } }));
    await until(reading => reading.refused.length === 0 && reading.state.consumers.size === 2);
    await objects.delete('consumer', 'ml', 'alice');
    await objects.delete('consumer', 'ml', 'bob');
  });

  test('of other namespaces are not seen by an operator of one', { timeout }, async t => {
    const all = await watching(t);
    const one = await watching(t, ['ml']);
    await objects.apply(consumerDocument('other', 'there'), consumerDocument('ml', 'here'));
    const keys = ({ state }: ClusterReading) => [...state.consumers.keys()].sort().join(' ');
    await all.until(reading => keys(reading) === 'ml/here other/there');
    await one.until(reading => keys(reading) === 'ml/here');
  });
});
