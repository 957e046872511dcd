import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { Cluster } from './cluster.ts';
import { Helm, type Manifest, type Values } from './helm.ts';

const CRDS = join(import.meta.dirname, '..', '..', 'charts', 'fairlead', 'crds');
const NAMESPACE = 'serving';
const CERTIFICATE = 'fairlead-control-plane-tls';
/** The kinds that the chart makes in its namespace. */
const KINDS =
  'daemonset,deployment,service,secret,configmap,serviceaccount,role,rolebinding,poddisruptionbudget,networkpolicy,inferencegateway,horizontalpodautoscaler';

// The life of a release, each test going on where the one before stopped.
suite('a release of the chart', () => {
  let cluster: Cluster;
  let helm: Helm;

  before(async () => {
    cluster = await Cluster.start();
    helm = new Helm(cluster.kubeconfig);
  });

  after(() => cluster?.stop());

  const upgrade = (values: Values, ...args: readonly string[]) =>
    helm.chart(['upgrade', 'fairlead'], values, ['--namespace', NAMESPACE, ...args]);
  const get = async (kind: string, name: string) =>
    JSON.parse(await cluster.kubectl(['get', kind, name, '-n', NAMESPACE, '-o', 'json'])) as Manifest;
  const installed = async () => {
    const args = ['-n', NAMESPACE, '-l', 'app.kubernetes.io/instance=fairlead', '-o', 'name'];
    return (await cluster.kubectl(['get', KINDS, ...args])).trim().split('\n').sort();
  };
  /** What the operator does with the two objects that the chart makes empty. */
  const fill = async (kind: string, data: Readonly<Record<string, string>>) => {
    const object = await get(kind, CERTIFICATE);
    object.metadata.annotations = { 'fairlead.dev/test': 'kept' };
    await cluster.kubectl(['replace', '-f', '-'], JSON.stringify({ ...object, data }));
  };
  const filled = async () => {
    const [secret, configMap] = [await get('secret', CERTIFICATE), await get('configmap', CERTIFICATE)];
    assert.deepEqual(secret.data, { 'ca.crt': 'YQ==', 'tls.crt': 'Yg==', 'tls.key': 'Yw==' });
    assert.deepEqual(configMap.data, { 'ca.crt': 'a' });
    for (const { metadata } of [secret, configMap]) assert.equal(metadata.annotations?.['fairlead.dev/test'], 'kept');
  };

  test('install makes the definitions and all objects, and says what to do next', async () => {
    const said = await helm.chart(['install', 'fairlead'], {}, ['--namespace', NAMESPACE, '--create-namespace']);
    assert.match(said, /port-forward service\/fairlead 8888:8888/);
    assert.match(said, /helm test fairlead -n serving/);
    assert.deepEqual(await installed(), [
      'configmap/fairlead-control-plane-tls',
      'daemonset.apps/fairlead-gateway',
      'deployment.apps/fairlead-operator',
      'inferencegateway.fairlead.dev/fairlead',
      'networkpolicy.networking.k8s.io/fairlead-gateway',
      'networkpolicy.networking.k8s.io/fairlead-operator',
      'poddisruptionbudget.policy/fairlead-operator',
      'role.rbac.authorization.k8s.io/serving-fairlead-operator',
      'rolebinding.rbac.authorization.k8s.io/serving-fairlead-operator',
      'secret/fairlead-control-plane-tls',
      'service/fairlead',
      'service/fairlead-control-plane',
      'serviceaccount/fairlead-gateway',
      'serviceaccount/fairlead-operator',
    ]);
  });

  test('what the operator writes outlives upgrades by either way of applying, and a rollback', async () => {
    await fill('secret', { 'ca.crt': 'YQ==', 'tls.crt': 'Yg==', 'tls.key': 'Yw==' });
    await fill('configmap', { 'ca.crt': 'a' });
    await upgrade({ operator: { replicas: 3 } });
    assert.equal((await get('deployment', 'fairlead-operator')).spec.replicas, 3);
    await filled();
    // As Helm 3 does it: by three-way merge.
    await upgrade({ operator: { replicas: 4 } }, '--server-side=false');
    assert.equal((await get('deployment', 'fairlead-operator')).spec.replicas, 4);
    await filled();
    await helm.run(['rollback', 'fairlead', '1', '--namespace', NAMESPACE]);
    assert.equal((await get('deployment', 'fairlead-operator')).spec.replicas, 2);
    await filled();
  });

  test('changes that do not concern the pods leave them alone', async () => {
    const templates = async () => [
      (await get('daemonset', 'fairlead-gateway')).metadata.generation,
      (await get('deployment', 'fairlead-operator')).metadata.generation,
    ];
    const before = await templates();
    await upgrade({ gateway: { service: { type: 'NodePort' } }, dashboard: { enabled: true } });
    assert.deepEqual(await templates(), before);
    assert.equal((await get('service', 'fairlead')).spec.type, 'NodePort');
  });

  test('from DaemonSet to Deployment, whose number of pods is the autoscaler’s alone', async () => {
    const values = { mode: 'deployment', autoscaling: { enabled: true } };
    await upgrade(values);
    const objects = await installed();
    assert.ok(!objects.some(name => name.startsWith('daemonset')));
    assert.ok(objects.includes('horizontalpodautoscaler.autoscaling/fairlead-gateway'));
    assert.equal((await get('deployment', 'fairlead-gateway')).spec.replicas, 2);
    await cluster.kubectl(['scale', 'deployment/fairlead-gateway', '-n', NAMESPACE, '--replicas', '7']);
    await upgrade({ ...values, gateway: { podLabels: { a: 'b' } } });
    assert.equal((await get('deployment', 'fairlead-gateway')).spec.replicas, 7);
  });

  for (const [args, force] of [
    [['--server-side=true'], ['--force-conflicts']],
    [['--server-side=false'], []],
  ] as const) {
    test(`the autoscaler begins with as many pods as there are, with ${args[0]}`, async () => {
      await upgrade({ mode: 'deployment', replicas: 5 }, ...args, ...force);
      assert.equal((await get('deployment', 'fairlead-gateway')).spec.replicas, 5);
      for (const podLabels of [{}, { c: 'd' }]) {
        await upgrade({ mode: 'deployment', autoscaling: { enabled: true }, gateway: { podLabels } }, ...args);
        assert.equal((await get('deployment', 'fairlead-gateway')).spec.replicas, 5);
      }
      await cluster.kubectl(['scale', 'deployment/fairlead-gateway', '-n', NAMESPACE, '--replicas', '7']);
      await helm.run(['rollback', 'fairlead', '--namespace', NAMESPACE, ...force]);
      assert.equal((await get('deployment', 'fairlead-gateway')).spec.replicas, 5);
    });
  }

  test('the definitions are upgraded by the command that the notes tell', async () => {
    const notes = await helm.run(['get', 'notes', 'fairlead', '--namespace', NAMESPACE]);
    const [, options = ''] = /kubectl (apply .*) -f charts\/fairlead\/crds/.exec(notes) ?? [];
    const said = await cluster.kubectl([...options.split(' '), '-f', CRDS]);
    assert.match(said, /modeldeployments.fairlead.dev serverside-applied/);
  });

  test('uninstall leaves the definitions, and what is declared by them, and nothing else', async () => {
    const model = {
      apiVersion: 'fairlead.dev/v1alpha1',
      kind: 'ModelDeployment',
      metadata: { name: 'm', namespace: NAMESPACE },
      spec: { backends: [{ name: 'a', endpoints: ['10.0.0.1:8000'] }] },
    };
    await cluster.kubectl(['apply', '-f', '-'], JSON.stringify(model));
    await helm.run(['uninstall', 'fairlead', '--namespace', NAMESPACE]);
    assert.deepEqual(await installed(), ['']);
    const clusterWide = [
      'get',
      'clusterrole,clusterrolebinding',
      '-l',
      'app.kubernetes.io/part-of=fairlead',
      '-o',
      'name',
    ];
    assert.equal(await cluster.kubectl(clusterWide), '');
    assert.equal((await get('modeldeployment', 'm')).metadata.name, 'm');
  });
});
