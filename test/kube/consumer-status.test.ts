import assert from 'node:assert/strict';
import { after, afterEach, before, suite, type TestContext, test } from 'node:test';
import { consumerStatusSchema, type StatusDocument } from '../../crds/status.ts';
import { until } from '../e2e/harness/until.ts';
import { ApiObjects } from './api-objects.ts';
import { Cluster } from './cluster.ts';
import { SeenConnection, StatusOperator } from './status-operator.ts';

/** Nothing here takes this long; it only ends a test that would hang, milliseconds. */
const timeout = 90_000;

const NANO = 1_000_000_000n;
const JANUARY = { periodStartMs: BigInt(Date.UTC(2026, 0, 1)), periodEndMs: BigInt(Date.UTC(2026, 1, 1)) };

suite('statuses of Consumers on a real API server', { timeout: 3 * timeout }, () => {
  let cluster: Cluster;
  let objects: ApiObjects;

  before(async () => {
    cluster = await Cluster.start();
    objects = new ApiObjects(cluster);
    await objects.prepare('ml');
  });

  after(() => cluster?.stop());

  afterEach(async () => {
    for (const kind of ['consumers', 'igw', 'secrets', 'events'])
      await cluster.kubectl(['delete', kind, '--all', '-n', 'ml']);
  });

  async function leading(t: TestContext) {
    const operator = new StatusOperator(new SeenConnection(cluster));
    await operator.start();
    const agent = operator.agent('node-a');
    const stop = async () => {
      agent.stop();
      await operator.stop();
    };
    t.after(stop);
    return { operator, agent, stop };
  }

  const document = (kind: string, name: string, spec: object) => ({
    apiVersion: 'fairlead.dev/v1alpha1',
    kind,
    metadata: { namespace: 'ml', name },
    spec,
  });

  async function statusOf(name: string): Promise<StatusDocument> {
    const text = await cluster.kubectl(['get', 'consumer', name, '-n', 'ml', '-o', 'json']);
    const { status } = JSON.parse(text) as { status?: unknown };
    return status === undefined ? {} : consumerStatusSchema.parse(status);
  }

  const untilConditions = (name: string, ...expected: readonly string[]) =>
    until(`${expected} of ${name}`, async () => {
      const { conditions = [] } = await statusOf(name);
      return conditions.map(({ type, status, reason }) => `${type} ${status} ${reason}`).join() === expected.join();
    });

  const eventsOf = async (kind: string) => {
    const text = await cluster.kubectl(['get', 'events.events.k8s.io', '-n', 'ml', '-o', 'json']);
    const { items } = JSON.parse(text) as { items: { regarding: { kind: string }; reason: string }[] };
    return items.filter(({ regarding }) => regarding.kind === kind).map(({ reason }) => reason);
  };

  test('one whose key is in a Secret is followed, and told of until the Secret is there', { timeout }, async t => {
    await leading(t);
    await objects.apply(document('Consumer', 'a', { apiKeys: [{ secretRef: { name: 'key' } }] }));
    await untilConditions(
      'a',
      'Accepted True Accepted',
      'ResolvedRefs False InvalidSecretRef',
      'Programmed True Programmed',
    );
    await cluster.kubectl(['create', 'secret', 'generic', 'key', '-n', 'ml', '--from-literal=api-key=one']);
    await untilConditions(
      'a',
      'Accepted True Accepted',
      'ResolvedRefs True ResolvedRefs',
      'Programmed True Programmed',
    );
    const budget = { amount: '1', currency: 'EUR', period: 'day' };
    await objects.apply(document('Consumer', 'b', { budget }));
    await untilConditions('b', 'Accepted False BudgetNeedsStore', 'Programmed False NotAccepted');
  });

  test('what is spent is told by gateways, once to whoever leads next', { timeout }, async t => {
    const { agent, stop } = await leading(t);
    const valkey = { url: 'valkey://valkey:6379' };
    await objects.apply(document('InferenceGateway', 'default', { limits: { store: 'valkey', valkey } }));
    const budget = { amount: '10', currency: 'EUR', period: 'month' };
    await objects.apply(document('Consumer', 'a', { budget }));
    await untilConditions('a', 'Accepted True Accepted', 'Programmed True Programmed');
    const state = { consumer: 'ml/a', ...JANUARY, amount: 10n * NANO, currency: 'EUR' };
    agent.report({ budgets: [{ ...state, spent: 8n * NANO }] });
    const warned = { amount: '8.00', currency: 'EUR', limit: '10.00', periodEnd: '2026-02-01T00:00:00Z' };
    await until('a warning', async () => (await eventsOf('Consumer')).includes('BudgetWarning'));
    assert.deepEqual((await statusOf('a')).spend, warned);
    agent.report({ budgets: [{ ...state, spent: 10n * NANO }], limitStoreFailure: 'connection refused' });
    await until('the end', async () => (await eventsOf('Consumer')).includes('BudgetExhausted'));
    await until('a failure', async () => (await eventsOf('InferenceGateway')).includes('LimitStoreFailed'));
    await stop();
    const { operator, agent: next } = await leading(t);
    next.report({ budgets: [{ ...state, spent: 10n * NANO }] });
    await objects.apply(document('Consumer', 'b', {}));
    await untilConditions('b', 'Accepted True Accepted', 'Programmed True Programmed');
    assert.deepEqual(operator.api.patches('a'), []);
    assert.deepEqual((await eventsOf('Consumer')).filter(reason => reason.startsWith('Budget')).sort(), [
      'BudgetExhausted',
      'BudgetWarning',
    ]);
    assert.match(await cluster.kubectl(['get', 'consumers', '-n', 'ml']), /^a +True +True +10\.00 /m);
  });

  test('a cluster that does not know them yet is told of everything else', { timeout }, async t => {
    await cluster.kubectl(['delete', 'crd', 'consumers.fairlead.dev']);
    t.after(() => objects.prepare());
    await leading(t);
    await objects.apply(document('InferenceGateway', 'default', {}));
    await cluster.kubectl(['wait', 'igw/default', '-n', 'ml', '--for=condition=Programmed', '--timeout=60s']);
  });
});
