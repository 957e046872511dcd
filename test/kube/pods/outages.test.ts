import assert from 'node:assert/strict';
import { after, before, suite, type TestContext, test } from 'node:test';
import { SteadyLoad } from '../../e2e/harness/steady-load.ts';
import { until } from '../../e2e/harness/until.ts';
import { ask, ControlPlane, modelNamed } from './control-plane.ts';
import { Installation, isReady, type ListedPod } from './installation.ts';

const OPERATOR = 'deployment/fairlead-operator';
/** Longer than a leader may go without renewing its lease, milliseconds. */
const OUTAGE_MS = 20_000;
/**
 * When another operator leads after an outage, agents find it once kube-controller-manager has written the
 * EndpointSlice of its label; that one, too, comes back by a back-off, of half a minute and as much jitter: 54 s were
 * seen. Milliseconds.
 */
const CONTROLLERS_BACK_MS = 150_000;
/** Nothing here takes this long; it only ends a test that would hang, milliseconds. */
const timeout = 300_000;

suite('outages of an installation', () => {
  let installation: Installation;
  let controlPlane: ControlPlane;
  let url: string;
  let load: SteadyLoad | undefined;
  const loads: SteadyLoad[] = [];

  before(async () => {
    installation = await Installation.prepare();
    controlPlane = new ControlPlane(installation);
    await installation.install();
    await installation.applyExample('model.yaml');
    await installation.kubectl(['wait', '--for=condition=Ready', 'md/llama-3-8b', '--timeout=60s']);
    url = await installation.url();
  });

  after(async () => {
    await Promise.all(loads.map(each => each.stop()));
    await installation?.stop();
  });

  const startLoad = async (at = url) => {
    const started = new SteadyLoad({ url: at, clients: 4, models: ['llama'], tokens: 2 });
    loads.push(started);
    await started.untilMore(20);
    return started;
  };

  /** Traffic through the Service while that happens; none of it fails. */
  const unharmed = async (t: TestContext, act: () => Promise<void>) => {
    load = await startLoad();
    await act();
    await load.untilMore(20);
    await load.stop();
    t.diagnostic(`${load.answers.length} answers, ${load.failures.length} failures`);
    assert.deepEqual(load.failures, []);
  };

  const applyModel = (name: string) => installation.apply(modelNamed(name, installation.namespace));

  /** For how long agents were without an operator, as they tell it themselves, since a moment. */
  const tellGaps = async (t: TestContext, sinceMs: number) => {
    for (const { metadata } of await controlPlane.gateways()) {
      const told = (event: string) =>
        controlPlane.events(metadata.name, 'extproc', event).filter(({ time }) => time >= sinceMs);
      const [lost] = told('table.disconnected');
      const found = told('table.connected').at(-1);
      if (lost && found) t.diagnostic(`${metadata.name}: no operator for ${found.time - lost.time} ms`);
    }
  };

  test('the leader is deleted: another one leads at once', { timeout }, async t => {
    await unharmed(t, async () => {
      const leader = await controlPlane.untilLeader();
      const sinceMs = Date.now();
      await installation.kubectl(['delete', 'pod', leader, '--wait=false']);
      await controlPlane.untilLeader(leader);
      t.diagnostic(`another is labelled after ${Date.now() - sinceMs} ms`);
      await applyModel('after-deletion');
      await controlPlane.untilServed(url, 'after-deletion');
      t.diagnostic(`a model applied then is served after ${Date.now() - sinceMs} ms`);
      await controlPlane.untilAgents('connected');
      await tellGaps(t, sinceMs);
    });
  });

  test('the leader is killed: changes made in the meantime come with the next one', { timeout }, async t => {
    await unharmed(t, async () => {
      await installation.kubectl(['rollout', 'status', OPERATOR, '--timeout=60s']);
      const leader = await controlPlane.untilLeader();
      const sinceMs = Date.now();
      installation.nodes.crash(installation.namespace, leader, 'operator');
      await controlPlane.untilAgents('away');
      await applyModel('between-leaders');
      await controlPlane.untilServed(url, 'between-leaders');
      t.diagnostic(`a model applied then is served after ${Date.now() - sinceMs} ms`);
      await controlPlane.untilAgents('connected');
      await controlPlane.untilLeader();
      await tellGaps(t, sinceMs);
      await applyModel('after-kill');
      await installation.kubectl(['wait', '--for=condition=Ready', 'md/after-kill', '--timeout=60s']);
      await controlPlane.untilServed(url, 'after-kill');
    });
  });

  test('both operators are gone', { timeout }, async t => {
    const [one, other] = await controlPlane.gateways();
    assert.ok(one && other);
    let arrived = '';
    await unharmed(t, async () => {
      await installation.kubectl(['scale', OPERATOR, '--replicas=0']);
      await until('no operator', async () => (await controlPlane.operators()).length === 0, 60_000);
      await controlPlane.untilAgents('away');
      arrived = await replacePod('app=llama');
      // Its place in the table is another's, or nobody's: whoever is sent there is sent on.
      await load?.untilMore(60);
    });
    await extprocRestarts(t, one, other);
    await unharmed(t, async () => {
      await installation.kubectl(['scale', OPERATOR, '--replicas=2']);
      await controlPlane.untilLeader();
      await controlPlane.untilAgents('connected');
      await until(
        'an answer of the pod that came meanwhile',
        () => load?.answers.some(({ pod }) => pod === arrived),
        60_000,
      );
      await until('3 of 3 in the status', async () => (await endpoints('llama-3-8b')) === '3/3', 60_000);
    });
  });

  /** Deletes one of these pods; the name of the one that comes in its place. */
  const replacePod = async (selector: string) => {
    const pods = await installation.pods(selector);
    const names = new Set(pods.map(({ metadata }) => metadata.name));
    const [name] = names;
    await installation.kubectl(['delete', 'pod', name ?? '', '--grace-period=2', '--timeout=60s']);
    const ready = await installation.untilPods(
      'another pod',
      selector,
      now => now.length === pods.length && now.every(isReady),
    );
    return ready.map(({ metadata }) => metadata.name).find(name => !names.has(name)) ?? '';
  };

  const endpoints = (model: string) =>
    installation.kubectl(['get', 'md', model, '-o', 'jsonpath={.status.endpoints.ready}/{.status.endpoints.total}']);

  /** Of one gateway, which has nobody to ask for its table. */
  const extprocRestarts = async (t: TestContext, one: ListedPod, other: ListedPod) => {
    const { name } = one.metadata;
    const before = await controlPlane.node(one);
    const [here, there] = [await startLoad(gatewayUrl(one)), await startLoad(gatewayUrl(other))];
    const stream = await ask(gatewayUrl(one), 'llama', { stream: true, max_tokens: 200 });
    const sinceMs = Date.now();
    installation.nodes.crash(installation.namespace, name, 'extproc');
    await until('a refusal', () => here.failures.length > 0);
    await until('the table of the disk', () => fromDisk(name, sinceMs).length > 0, 60_000);
    await controlPlane.untilServed(gatewayUrl(one), 'llama');
    const tookMs = Date.now() - sinceMs;
    const text = await stream.text();
    await here.untilMore(0);
    const failed = here.failures.length;
    await here.untilMore(40);
    await Promise.all([here.stop(), there.stop()]);
    t.diagnostic(`for ${tookMs} ms without extproc that gateway answered: ${kinds(here.failures)}`);
    assert.equal(here.failures.length, failed, 'nobody is refused any more');
    for (const failure of here.failures) assert.match(failure, /^llama: 503 .*"code":"gateway_unavailable"/);
    assert.deepEqual(there.failures, []);
    assert.ok(text.endsWith('data: [DONE]\n\n'), 'the stream that ran is whole');
    const node = await controlPlane.node(one);
    assert.equal(node?.table?.version, before?.table?.version);
    assert.equal(node?.controlPlane.connected, false);
  };

  const fromDisk = (gateway: string, sinceMs: number) =>
    controlPlane
      .events(gateway, 'extproc', 'table.received')
      .filter(({ from, time }) => from === 'disk' && time >= sinceMs);

  const gatewayUrl = ({ status }: ListedPod) => `http://${status.podIP}:8888`;

  test('the API server is away for longer than a leader may go without it', { timeout }, async t => {
    await unharmed(t, async () => {
      await installation.kubectl(['rollout', 'status', OPERATOR, '--timeout=60s']);
      const leader = await controlPlane.untilLeader();
      const before = await controlPlane.disconnections();
      await installation.cluster.stopApiServer();
      const sinceMs = Date.now();
      const states = () =>
        controlPlane
          .events(leader, 'operator', 'leader.changed')
          .filter(({ time }) => time >= sinceMs)
          .map(({ state }) => state);
      await until('the leader to be suspended', () => states().includes('suspended'), 60_000);
      t.diagnostic(`suspended after ${Date.now() - sinceMs} ms`);
      await until('the end of the outage', () => Date.now() >= sinceMs + OUTAGE_MS, 2 * OUTAGE_MS);
      await installation.cluster.startApiServer();
      const backMs = Date.now();
      await applyModel('after-outage');
      await controlPlane.untilServed(url, 'after-outage', CONTROLLERS_BACK_MS);
      t.diagnostic(`a model applied then is served ${Date.now() - backMs} ms after the API server is back`);
      await installation.kubectl(['wait', '--for=condition=Ready', 'md/after-outage', '--timeout=60s']);
      assert.deepEqual(await controlPlane.labelled(), [await controlPlane.untilLeader()]);
      if ((await controlPlane.untilLeader()) === leader) {
        assert.deepEqual(await controlPlane.disconnections(), before, 'agents stayed');
      }
      await controlPlane.untilAgents('connected');
      for (const pod of [...(await controlPlane.operators()), ...(await controlPlane.gateways())]) {
        assert.ok(isReady(pod), pod.metadata.name);
      }
    });
  });

  /** What fails at a gateway and at the Service while that happens to the gateway; the other one notices nothing. */
  const disturb = async (t: TestContext, act: (gateway: ListedPod) => Promise<void>) => {
    await installation.kubectl(['rollout', 'status', 'daemonset/fairlead-gateway', '--timeout=60s']);
    const [gateway, other] = await controlPlane.gateways();
    assert.ok(gateway && other);
    const [service, there] = [await startLoad(), await startLoad(gatewayUrl(other))];
    await act(gateway);
    await installation.kubectl(['rollout', 'status', 'daemonset/fairlead-gateway', '--timeout=60s']);
    // A client's idle connections to what was killed fail when they are used next.
    await until('40 answers without a failure between them', async () => {
      const failed = service.failures.length;
      await service.untilMore(40);
      return service.failures.length === failed;
    });
    await Promise.all([service.stop(), there.stop()]);
    t.diagnostic(`of ${service.ended} requests through the Service failed: ${kinds(service.failures)}`);
    assert.deepEqual(there.failures, []);
    for (const failure of service.failures) assert.doesNotMatch(failure, /^llama: \d/, 'an answer of ours');
  };

  test('Envoy of a gateway is killed: what it held is lost, nothing else', { timeout }, t =>
    disturb(t, async ({ metadata: { name } }) => {
      installation.nodes.crash(installation.namespace, name, 'envoy');
      await installation.untilPods('the restart', 'app.kubernetes.io/component=gateway', pods =>
        pods.some(pod => pod.metadata.name === name && !isReady(pod)),
      );
    }),
  );

  test('a gateway pod is deleted without grace: what it held is lost, nothing else', { timeout }, t =>
    disturb(t, async ({ metadata: { name } }) => {
      await installation.kubectl(['delete', 'pod', name, '--grace-period=0', '--force']);
      await installation.untilPods('another gateway', 'app.kubernetes.io/component=gateway', pods =>
        pods.every(pod => pod.metadata.name !== name),
      );
    }),
  );
});

/** Failures by what is the same of them, and how many. */
function kinds(failures: readonly string[]): string {
  const counts = Map.groupBy(failures, failure => failure.slice(0, 120));
  return JSON.stringify(Object.fromEntries([...counts].map(([kind, all]) => [kind, all.length])));
}
