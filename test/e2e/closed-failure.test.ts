import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { EXT_PROC_CLUSTER } from '../../agent/envoy/names.ts';
import { type SimPod, startPods } from '../../sim/pod.ts';
import { envoyStats } from './harness/envoy-stats.ts';
import { Gateway, model } from './harness/gateway.ts';
import { HeldPod } from './harness/held-pod.ts';
import { descendants, isOpen, isRunning } from './harness/processes.ts';
import { SteadyLoad } from './harness/steady-load.ts';
import { until } from './harness/until.ts';

const CLIENTS = 10;

/** A gateway before two pods of `m`, and one of `held`, whose streams end when told to. */
async function startAll() {
  const held = await HeldPod.start();
  const pods = (await startPods([
    { name: 'm-0', models: ['m'], timeScale: 4 },
    { name: 'm-1', models: ['m'], timeScale: 4 },
  ])) as [SimPod, SimPod];
  const endpoints = pods.map(({ endpoint }) => endpoint);
  const gateway = await Gateway.start({ resources: [model('m', endpoints), model('held', [held.endpoint])] });
  const close = async () => {
    await gateway.close();
    await held.close();
    await Promise.all(pods.map(pod => pod.close()));
  };
  return { gateway, held, pods, close };
}

/** A stream that has begun and waits; `text` is what came of it in the end, "cut" when it had none. */
async function beginHeld(gateway: Gateway, held: HeldPod): Promise<{ readonly text: Promise<string> }> {
  const before = held.held;
  const response = await gateway.chat('held', {}, { stream: true });
  assert.equal(response.status, 200);
  assert.equal(held.held, before + 1);
  return { text: response.text().catch(() => 'cut') };
}

async function nothingInFlight(gateway: Gateway): Promise<void> {
  await until('nothing in flight', async () => {
    const lines = (await gateway.metrics()).split('\n').filter(line => line.startsWith('fairlead_in_flight{'));
    return lines.every(line => line.endsWith(' 0'));
  });
}

suite('something dies under load', () => {
  let gateway: Gateway;
  let held: HeldPod;
  let pods: [SimPod, SimPod];
  let load: SteadyLoad | undefined;
  let close: (() => Promise<void>) | undefined;

  before(async () => {
    ({ gateway, held, pods, close } = await startAll());
  });

  after(async () => {
    await load?.stop();
    await close?.();
  });

  test('extproc: streams complete, new requests are refused in our shape until it is back', async () => {
    load = new SteadyLoad({ url: gateway.url, clients: CLIENTS, models: ['m'] });
    await load.untilMore(50);
    assert.deepEqual(load.failures, []);
    const { text } = await beginHeld(gateway, held);
    const { extproc } = gateway.children();
    process.kill(extproc, 'SIGKILL');
    await until('a refused request', () => (load?.failures.length ?? 0) > 0);
    await until('another extproc', () => gateway.children().extproc !== extproc);
    await until('an answer', async () => (await gateway.chat('m')).status === 200);
    const refused = load.failures.length;
    await load.untilMore(50);
    for (const failure of load.failures) {
      assert.match(
        failure,
        /^m: 503 \{"error":\{"message":"[^"]+","type":"overloaded_error","code":"gateway_unavailable"/,
      );
    }
    await load.stop();
    assert.ok(load.failures.length <= refused + CLIENTS, 'nobody is refused any more');
    await gateway.untilShown('extproc ended (killed by SIGKILL)');
    // The stream that the one before had picked is nobody's now, and still whole.
    assert.equal(held.cut, 0);
    held.finish();
    assert.ok((await text).endsWith('data: [DONE]\n\n'));
    await nothingInFlight(gateway);
    await until(
      'the record of the stream',
      async () => (await gateway.metric('fairlead_settlements_total{kind="unknown"}')) > 0,
    );
  });

  test('after that, Envoy follows the new agent', async () => {
    await until('Envoy at the agent', async () => (await gateway.node()).envoy.connected);
    gateway.write('models.yaml', [
      model(
        'm',
        pods.map(({ endpoint }) => endpoint),
        { aliases: ['renamed'] },
      ),
      model('held', [held.endpoint]),
      model('late', [pods[0].endpoint], { backend: { model: 'm' } }),
    ]);
    await gateway.untilServed('late', 1);
    assert.equal((await gateway.chat('late')).status, 200);
    assert.equal((await gateway.chat('renamed')).status, 200);
  });

  test('extproc while clients upload and wait: every one of them gets an answer', async () => {
    const { extproc } = gateway.children();
    const padding = 'x'.repeat(1_000_000);
    const asked = Array.from({ length: 20 }, () => gateway.chat('m', {}, { padding, max_tokens: 2 }));
    process.kill(extproc, 'SIGKILL');
    for (const response of await Promise.all(asked)) {
      const text = await response.text();
      if (response.status !== 200) assert.match(text, /"code":"gateway_unavailable"/);
    }
    await until('an answer', async () => (await gateway.chat('m')).status === 200);
    await nothingInFlight(gateway);
  });

  test('Envoy: it comes back and serves, and nothing stays in flight', async () => {
    load = new SteadyLoad({ url: gateway.url, clients: CLIENTS, models: ['m'] });
    await load.untilMore(50);
    const { envoy, extproc } = gateway.children();
    process.kill(envoy, 'SIGKILL');
    await until('another Envoy', () => gateway.children().envoy !== envoy);
    await until('an answer', () =>
      gateway.chat('m').then(
        response => response.ok,
        () => false,
      ),
    );
    await load.untilMore(0);
    const failed = load.failures.length;
    await load.untilMore(50);
    assert.equal(load.failures.length, failed, 'nobody fails any more');
    for (const failure of load.failures) assert.doesNotMatch(failure, /^m: \d/, 'an answer of ours');
    await load.stop();
    assert.equal(gateway.children().extproc, extproc, 'extproc lives on');
    await nothingInFlight(gateway);
  });

  test('a pod: whoever waits for it is answered by the other one', async () => {
    load = new SteadyLoad({ url: gateway.url, clients: CLIENTS, models: ['m'], streams: false });
    await load.untilMore(50);
    await pods[0].close();
    await load.untilMore(100);
    await load.stop();
    assert.deepEqual(load.failures, []);
    assert.equal(load.answers.at(-1)?.pod, 'm-1');
    const { endpoints } = await gateway.explain('m');
    assert.equal(endpoints.find(({ address }) => address === pods[0].endpoint)?.reason, 'ejected');
    await nothingInFlight(gateway);
  });
});

suite('fairlead up ends', () => {
  async function nothingLeft(gateway: Gateway, children: readonly number[]): Promise<void> {
    assert.ok(children.length >= 2);
    await until('the children to end', () => !children.some(isRunning));
    for (const port of [gateway.port, gateway.adminPort]) {
      await until('the port to be free', async () => !(await isOpen(port)));
    }
  }

  test('killed hard: no child outlives it, and its ports are free', async context => {
    const { gateway, held, close } = await startAll();
    context.after(close);
    const { text } = await beginHeld(gateway, held);
    const { extproc, envoy } = gateway.children();
    const children = descendants(gateway.pid);
    assert.ok(children.includes(extproc) && children.includes(envoy));
    gateway.kill('SIGKILL');
    await gateway.untilEnded();
    await nothingLeft(gateway, children);
    assert.equal(await text, 'cut');
  });

  test('Ctrl-C: a running stream completes, new connections are refused, exit code 0', async context => {
    const { gateway, held, close } = await startAll();
    context.after(close);
    const { text } = await beginHeld(gateway, held);
    const children = descendants(gateway.pid);
    gateway.kill('SIGINT');
    await gateway.untilShown('Stopping');
    await until('the port to close', async () => !(await isOpen(gateway.port)));
    assert.equal(held.cut, 0);
    assert.equal(gateway.ended, false);
    held.finish();
    assert.ok((await text).endsWith('data: [DONE]\n\n'));
    await gateway.untilEnded();
    assert.equal(gateway.exitCode, 0);
    assert.match(gateway.output, /Stopping:.*\n.*Stopped\.\n$/, 'and nobody complains');
    await nothingLeft(gateway, children);
  });

  test('Ctrl-C twice: at once', async context => {
    const { gateway, held, close } = await startAll();
    context.after(close);
    const { text } = await beginHeld(gateway, held);
    const children = descendants(gateway.pid);
    gateway.kill('SIGINT');
    await gateway.untilShown('Stopping');
    assert.equal(held.cut, 0);
    gateway.kill('SIGINT');
    await gateway.untilEnded();
    assert.equal(gateway.exitCode, 130);
    assert.equal(await text, 'cut');
    await nothingLeft(gateway, children);
  });
});

// Node's HTTP/2 takes many reset streams for an attack and sends GOAWAY (envoy.md B3).
test('thousands of exchanges, answered and refused, over one connection to extproc', async () => {
  const pods = await startPods([{ name: 'm-0', models: ['m'], timeScale: 1000, rememberedRequests: 10 }]);
  const gateway = await Gateway.start({
    resources: [
      model(
        'm',
        pods.map(({ endpoint }) => endpoint),
      ),
    ],
  });
  try {
    let left = 3_200;
    const codes = new Map<number, number>();
    const client = async () => {
      while (left-- > 0) {
        const response = await gateway.chat(left % 2 === 0 ? 'm' : 'unknown', {}, { max_tokens: 1 });
        await response.text();
        codes.set(response.status, (codes.get(response.status) ?? 0) + 1);
      }
    };
    await Promise.all(Array.from({ length: 32 }, client));
    assert.deepEqual(Object.fromEntries(codes), { 200: 1_600, 404: 1_600 });
    const stats = await envoyStats(gateway.children().envoy, `^cluster\\.${EXT_PROC_CLUSTER}\\.upstream_`);
    assert.equal(stats.get(`cluster.${EXT_PROC_CLUSTER}.upstream_cx_total`), 1);
    assert.equal(stats.get(`cluster.${EXT_PROC_CLUSTER}.upstream_rq_active`), 0);
    assert.equal(await gateway.metric('fairlead_in_flight{model="m"}'), 0);
  } finally {
    await gateway.close();
    await Promise.all(pods.map(pod => pod.close()));
  }
});
