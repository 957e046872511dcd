import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { stringify } from 'yaml';
import type { NodeDescription } from '../../agent/admin/pages.ts';
import { type SimPod, startPods } from '../../sim/pod.ts';
import { Child } from './harness/child.ts';
import { freePorts } from './harness/free-ports.ts';
import { type Manifest, model } from './harness/gateway.ts';
import { isOpen } from './harness/processes.ts';
import { SteadyLoad } from './harness/steady-load.ts';
import { until } from './harness/until.ts';

// The processes of one node as a pod would run them, nobody supervising anybody.
suite('operator, extproc and Envoy started by themselves', () => {
  const base = mkdtempSync(join(tmpdir(), 'fairlead-e2e-'));
  const runDir = join(base, 'run');
  const controlPlane = `unix:${join(base, 'operator.sock')}`;
  let port = 0;
  let adminPort = 0;
  let pods: SimPod[] = [];
  let operator: Child;
  let extproc: Child;
  let envoy: Child;
  let load: SteadyLoad | undefined;

  const startOperator = () => new Child('operator', base, '--listen', controlPlane);
  const startExtproc = () =>
    new Child(
      'extproc',
      '--control-plane',
      controlPlane,
      '--run-dir',
      runDir,
      '--access-log',
      join(base, 'access.log'),
    );
  const startEnvoy = () => new Child('envoy', '--run-dir', runDir, '--concurrency', '1');
  const write = (file: string, ...manifests: readonly Manifest[]) =>
    writeFileSync(join(base, file), manifests.map(manifest => stringify(manifest)).join('---\n'));
  const models = (...some: readonly Manifest[]) =>
    write(
      'models.yaml',
      model(
        'm',
        pods.map(({ endpoint }) => endpoint),
      ),
      ...some,
    );
  const chat = (name: string) =>
    fetch(`http://127.0.0.1:${port}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model: name, messages: [{ role: 'user', content: 'Hi' }], max_tokens: 2 }),
    });
  const answers = (name: string) =>
    chat(name).then(
      response => response.ok,
      () => false,
    );
  /** What the node says of itself, as soon as it says anything: requests are answered a moment earlier. */
  const node = () =>
    until('the admin interface', () =>
      fetch(`http://127.0.0.1:${adminPort}/table`).then(
        async response => (await response.json()) as NodeDescription,
        () => undefined,
      ),
    );
  const startLoad = async () => {
    await load?.stop();
    load = new SteadyLoad({ url: `http://127.0.0.1:${port}`, clients: 8, models: ['m'] });
    await load.untilMore(40);
    return load;
  };

  before(async () => {
    [port = 0, adminPort = 0] = await freePorts(2);
    pods = await startPods(['m-0', 'm-1'].map(name => ({ name, models: ['m'], timeScale: 10 })));
    write('gateway.yaml', {
      apiVersion: 'fairlead.dev/v1alpha1',
      kind: 'InferenceGateway',
      metadata: { name: 'default' },
      spec: { listeners: [{ name: 'http', port }], admin: { port: adminPort } },
    });
    models();
  });

  after(async () => {
    await load?.stop();
    await Promise.all([envoy, extproc, operator].map(child => child?.end('SIGKILL')));
    await Promise.all(pods.map(pod => pod.close()));
    rmSync(base, { recursive: true, force: true });
  });

  test('in the worst order: each waits for the one that it needs', async () => {
    envoy = startEnvoy();
    extproc = startExtproc();
    await extproc.untilPrinted('"event":"table.disconnected"');
    assert.equal(await isOpen(port), false, 'no port before there is a table');
    operator = startOperator();
    await until('an answer', () => answers('m'));
    assert.equal((await node()).controlPlane.connected, true);
  });

  test('the operator dies: nobody notices', async () => {
    const running = await startLoad();
    await operator.end('SIGKILL');
    await until('the node to know', async () => !(await node()).controlPlane.connected);
    await running.untilMore(100);
    await running.stop();
    assert.deepEqual(running.failures, []);
    assert.ok((await node()).table);
  });

  test('extproc restarts meanwhile: it begins with the table on disk', async () => {
    const version = (await node()).table?.version;
    await extproc.end('SIGKILL');
    const refused = await chat('m');
    assert.equal(refused.status, 503);
    assert.match(await refused.text(), /"code":"gateway_unavailable"/);
    extproc = startExtproc();
    await until('an answer', () => answers('m'));
    await extproc.untilPrinted(`"event":"table.received","version":"${version}","from":"disk"`);
    const { table, controlPlane: away } = await node();
    assert.equal(table?.version, version);
    assert.equal(away.connected, false);
    await until('Envoy at the new agent', async () => (await node()).envoy.connected);
  });

  test('Envoy restarts meanwhile: the agent knows all that it needs', async () => {
    await envoy.end('SIGKILL');
    assert.equal(await answers('m'), false);
    envoy = startEnvoy();
    await until('an answer', () => answers('m'));
  });

  test('the operator is back: changes flow again, and nobody notices that either', async () => {
    const running = await startLoad();
    operator = startOperator();
    await until('the connection', async () => (await node()).controlPlane.connected);
    models(model('later', [pods[0]?.endpoint ?? ''], { backend: { model: 'm' } }));
    await until('the change', () => answers('later'));
    await running.untilMore(40);
    models();
    await until('the change back', async () => (await chat('later')).status === 404);
    await running.untilMore(40);
    await running.stop();
    assert.deepEqual(running.failures, []);
  });

  test('what changed while the operator was stopped flows when it is back', async () => {
    assert.equal(await operator.end('SIGTERM'), 0);
    models(model('meanwhile', [pods[1]?.endpoint ?? ''], { backend: { model: 'm' } }));
    operator = startOperator();
    await until('what changed while nobody looked', () => answers('meanwhile'));
  });

  test('SIGTERM ends each, and well', async () => {
    // Envoy 1.40.0 may fault when it ends before its last access records are sent.
    const counted = 'fairlead_requests_total{model="meanwhile",backend="pods",code="200"}';
    await until('the last record', async () =>
      (await (await fetch(`http://127.0.0.1:${adminPort}/metrics`)).text()).includes(counted),
    );
    assert.equal(await envoy.end('SIGTERM'), 0);
    assert.equal(await extproc.end('SIGTERM'), 0);
    assert.equal(await operator.end('SIGTERM'), 0);
    assert.equal(await isOpen(port), false);
  });
});
