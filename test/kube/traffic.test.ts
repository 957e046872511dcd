import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { type SimPod, startPod } from '../../sim/pod.ts';
import { Child } from '../e2e/harness/child.ts';
import { freePorts } from '../e2e/harness/free-ports.ts';
import { until } from '../e2e/harness/until.ts';
import { ApiObjects } from './api-objects.ts';
import { Cluster } from './cluster.ts';

const MODEL = 'acme/m';
const NAMESPACE = 'ml';

// The operator follows the API server; pods are objects there and simulated vLLM servers at their addresses.
suite('a cluster: what is applied is served', () => {
  const base = mkdtempSync(join(tmpdir(), 'fairlead-kube-'));
  const controlPlane = `unix:${join(base, 'operator.sock')}`;
  const runDir = join(base, 'run');
  const sims: SimPod[] = [];
  const children: Child[] = [];
  let cluster: Cluster;
  let objects: ApiObjects;
  let ports: readonly number[] = [];

  const chat = () =>
    fetch(`http://127.0.0.1:${ports[0]}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model: MODEL, messages: [{ role: 'user', content: 'Hi' }], max_tokens: 2 }),
    });

  /** Who answers: every pod that can be picked is, within a few requests. */
  const answering = async () => {
    const names = new Set<string | null>();
    for (let i = 0; i < 8; i++) {
      const response = await chat();
      await response.text();
      names.add(response.status === 200 ? response.headers.get('x-fairlead-endpoint') : String(response.status));
    }
    return [...names].sort();
  };

  const untilAnsweredBy = (...names: readonly string[]) =>
    until(`answers by ${names}`, async () => (await answering().catch(() => [])).join() === names.join());

  const startOne = async (name: string, address: string) => {
    sims.push(await startPod({ name, address, port: ports[2] ?? 0, models: [MODEL], timeScale: 50 }));
    await objects.createPod(NAMESPACE, name, { app: 'm' });
    await objects.podStatus(NAMESPACE, name, address, true);
  };

  before(async () => {
    cluster = await Cluster.start();
    objects = new ApiObjects(cluster);
    await objects.prepare(NAMESPACE);
    ports = await freePorts(3);
    process.env.KUBECONFIG = cluster.kubeconfig;
    const [port, adminPort] = ports;
    const meta = (name: string) => ({ apiVersion: 'fairlead.dev/v1alpha1', metadata: { name, namespace: NAMESPACE } });
    await objects.apply({
      ...meta('gateway'),
      kind: 'InferenceGateway',
      spec: {
        listeners: [{ name: 'http', port, address: '127.0.0.1' }],
        admin: { port: adminPort, address: '127.0.0.1' },
      },
    });
    const pods = { selector: { matchLabels: { app: 'm' } }, port: ports[2] };
    const backends = [{ name: 'gpu', runtime: 'vllm', pods }];
    await objects.apply({
      ...meta('m'),
      kind: 'ModelDeployment',
      spec: { model: MODEL, backends, routing: { strategy: 'round-robin' } },
    });
    await startOne('m-0', '127.0.7.1');
    children.push(
      new Child('operator', '--listen', controlPlane, '--namespace', NAMESPACE),
      new Child(
        'extproc',
        '--control-plane',
        controlPlane,
        '--run-dir',
        runDir,
        '--access-log',
        join(base, 'access.log'),
      ),
      new Child('envoy', '--run-dir', runDir, '--concurrency', '1'),
    );
  });

  after(async () => {
    delete process.env.KUBECONFIG;
    for (const child of children.toReversed()) await child.end('SIGKILL');
    cluster?.stop();
    await Promise.all(sims.map(pod => pod.close()));
    rmSync(base, { recursive: true, force: true });
  });

  test('a ModelDeployment and its ready pod', async () => {
    await untilAnsweredBy('m-0');
  });

  test('a second pod joins once it is ready', async () => {
    await startOne('m-1', '127.0.7.2');
    await untilAnsweredBy('m-0', 'm-1');
  });

  test('a pod that is not ready any more, or on its way out, gets nothing new', async () => {
    await objects.podStatus(NAMESPACE, 'm-0', '127.0.7.1', false);
    await untilAnsweredBy('m-1');
    await objects.podStatus(NAMESPACE, 'm-0', '127.0.7.1', true);
    await untilAnsweredBy('m-0', 'm-1');
    await objects.deletePod(NAMESPACE, 'm-1', 'graceful');
    await untilAnsweredBy('m-0');
  });

  test('the API server away, and back: no request notices, and changes follow', async () => {
    await cluster.stopApiServer();
    assert.deepEqual(await answering(), ['m-0']);
    await cluster.startApiServer();
    await startOne('m-2', '127.0.7.3');
    await untilAnsweredBy('m-0', 'm-2');
  });

  test('a ModelDeployment whose id is taken is told of, and changes nothing', async () => {
    const backends = [{ name: 'gpu', endpoints: ['127.0.7.9:1'] }];
    const metadata = { name: 'thief', namespace: NAMESPACE };
    await objects.apply({
      apiVersion: 'fairlead.dev/v1alpha1',
      kind: 'ModelDeployment',
      metadata,
      spec: { model: MODEL, backends },
    });
    const told = `jsonpath={.status.conditions[?(@.type=="Accepted")].message}`;
    const message = await until('its status', () =>
      cluster.kubectl(['get', 'md', 'thief', '-n', NAMESPACE, '-o', told]).then(text => text || undefined),
    );
    assert.match(message, /^id "acme\/m" is taken by ml\/m since /);
    assert.deepEqual(await answering(), ['m-0', 'm-2']);
    await objects.delete('md', NAMESPACE, 'thief');
  });

  test('a ModelDeployment that is deleted is not found', async () => {
    await objects.delete('md', NAMESPACE, 'm');
    await untilAnsweredBy('404');
  });
});
