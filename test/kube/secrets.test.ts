import assert from 'node:assert/strict';
import { after, before, suite, type TestContext, test } from 'node:test';
import { kubeConfigAccess } from '../../operator/api/api-access.ts';
import { ApiConnection } from '../../operator/api/api-connection.ts';
import { plan } from '../../operator/plan/plan.ts';
import { type ClusterReading, watchCluster } from '../../operator/source/kubernetes.ts';
import { Authority, tlsSecret } from '../e2e/harness/certificates.ts';
import { ApiObjects, apiOf, kubeConfigOf } from './api-objects.ts';
import { Cluster } from './cluster.ts';

/** Nothing here takes this long; it only ends a test that would hang, milliseconds. */
const timeout = 60_000;

suite('Secrets of a real API server', { timeout: 4 * timeout }, () => {
  const authority = new Authority();
  let cluster: Cluster;
  let objects: ApiObjects;

  before(async () => {
    cluster = await Cluster.start();
    objects = new ApiObjects(cluster);
    await objects.prepare('ml', 'other');
  });

  after(() => {
    cluster?.stop();
    authority.remove();
  });

  const gateway = (...secrets: readonly string[]) =>
    objects.apply({
      apiVersion: 'fairlead.dev/v1alpha1',
      kind: 'InferenceGateway',
      metadata: { namespace: 'ml', name: 'gateway' },
      spec: {
        listeners: [
          { name: 'http', port: 8888 },
          ...secrets.map((name, index) => ({ name: `tls-${index}`, port: 8443 + index, tls: { secretRef: { name } } })),
        ],
      },
    });

  async function watching(t: TestContext, api: ApiConnection) {
    const abort = new AbortController();
    let latest: ClusterReading | undefined;
    let told = Promise.withResolvers<void>();
    const watch = await watchCluster({
      api,
      signal: abort.signal,
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
      while (latest === undefined || !holds(latest)) await told.promise;
      return latest;
    };
    return { until };
  }

  const message = ({ state }: ClusterReading) =>
    plan(state, { standalone: false })
      .gatewayStatuses.get('ml/gateway')
      ?.conditions.find(({ type }) => type === 'ResolvedRefs')?.message ?? '';

  test('only what is referred to is watched, and of it only the keys that are used', { timeout }, async t => {
    const asked = new Set<string>();
    const api = apiOf(cluster);
    const get = api.get.bind(api);
    t.mock.method(api, 'get', (path: string, query: Record<string, string>, signal: AbortSignal) => {
      if (path.includes('secrets')) asked.add(`${path}?${query.fieldSelector}`);
      return get(path, query, signal);
    });
    const pair = authority.issue();
    const { stringData, ...secret } = tlsSecret('gateway-tls', pair, 'ml');
    await objects.apply(
      { ...secret, stringData: { ...stringData, 'ca.crt': authority.certificate } },
      tlsSecret('of-nobody', pair, 'ml'),
      tlsSecret('gateway-tls', pair, 'other'),
    );
    await gateway('gateway-tls');
    const { until } = await watching(t, api);
    const { state } = await until(() => true);
    assert.deepEqual([...state.secrets.keys()], ['ml/gateway-tls']);
    const data = state.secrets.get('ml/gateway-tls')?.data ?? assert.fail();
    assert.deepEqual(Object.keys(data), ['tls.crt', 'tls.key']);
    assert.equal(Buffer.from(data['tls.key'] ?? []).toString(), pair.key);
    assert.deepEqual([...asked], ['/api/v1/namespaces/ml/secrets?metadata.name=gateway-tls']);
  });

  test('follows a Secret as it comes, is rotated, breaks and goes, and stops when nobody refers to it', {
    timeout,
  }, async t => {
    await gateway('late');
    const { until } = await watching(t, apiOf(cluster));
    await until(reading => message(reading).includes('secret ml/late: not found'));
    await objects.apply(tlsSecret('late', authority.issue(), 'ml'));
    const before = await until(reading => message(reading).startsWith('listener tls-0: certificate until'));
    await objects.apply(tlsSecret('late', authority.issue(), 'ml'));
    const after = await until(({ state }) => state.secrets !== before.state.secrets);
    assert.equal(after.state.gateways, before.state.gateways);
    const [one, other] = [authority.issue(), authority.issue()];
    await objects.apply(tlsSecret('late', { certificate: one.certificate, key: other.key }, 'ml'));
    await until(reading => message(reading).includes('does not match the key'));
    await objects.delete('secret', 'ml', 'late');
    await until(reading => message(reading).includes('not found'));
    await gateway();
    assert.equal((await until(({ state }) => state.secrets.size === 0)).state.gateways.length, 1);
  });

  test('who may not read a Secret says what is needed, and everything else goes on', { timeout }, async t => {
    await objects.apply(tlsSecret('forbidden', authority.issue(), 'ml'), tlsSecret('allowed', authority.issue(), 'ml'));
    await gateway('forbidden', 'allowed');
    const read = ['list', 'watch'];
    const account = { kind: 'ServiceAccount', name: 'operator', namespace: 'ml' };
    const api = 'rbac.authorization.k8s.io';
    const metadata = { name: 'operator', namespace: 'ml' };
    const rules = [
      { apiGroups: ['fairlead.dev'], resources: ['modeldeployments', 'inferencegateways', 'consumers'], verbs: read },
      { apiGroups: [''], resources: ['pods'], verbs: read },
    ];
    const named = [{ apiGroups: [''], resources: ['secrets'], resourceNames: ['allowed'], verbs: read }];
    const bind = (kind: string) => ({ roleRef: { apiGroup: api, kind, name: 'operator' }, subjects: [account] });
    await objects.apply(
      { apiVersion: 'v1', kind: 'ServiceAccount', metadata },
      { apiVersion: `${api}/v1`, kind: 'ClusterRole', metadata: { name: 'operator' }, rules },
      { apiVersion: `${api}/v1`, kind: 'ClusterRoleBinding', metadata: { name: 'operator' }, ...bind('ClusterRole') },
      { apiVersion: `${api}/v1`, kind: 'Role', metadata, rules: named },
      { apiVersion: `${api}/v1`, kind: 'RoleBinding', metadata, ...bind('Role') },
    );
    const token = (await cluster.kubectl(['create', 'token', 'operator', '-n', 'ml'])).trim();
    const admin = kubeConfigAccess(kubeConfigOf(cluster));
    const asOperator = new ApiConnection({
      server: cluster.server,
      authorize: async options => {
        await admin.authorize(options);
        options.headers = { ...options.headers, authorization: `Bearer ${token}` };
      },
    });
    const { until } = await watching(t, asOperator);
    const reading = await until(each => each.state.secrets.size === 2);
    assert.match(
      message(reading),
      /listener tls-0: secret ml\/forbidden: the operator may not read it: .* list and watch on secrets in namespace ml/,
    );
    assert.ok(!message(reading).includes('ml/allowed'));
    await objects.apply({
      apiVersion: `${api}/v1`,
      kind: 'Role',
      metadata,
      rules: [{ ...named[0], resourceNames: [] }],
    });
    await until(each => message(each).startsWith('listener tls-0: certificate until'));
  });
});
