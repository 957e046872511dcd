import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { type SimPod, startPods } from '../../sim/pod.ts';
import { envoyStats } from './harness/envoy-stats.ts';
import { Gateway, model } from './harness/gateway.ts';

/** A token every quarter of a second: a model far too large for its GPU. */
const SLOW_GPU = { a: 250, b: 0, c: 0, d: 0, e: 0, kvTokens: 100_000 };
const STREAM_MS = 60_000;
const STREAM_TOKENS = 1 + STREAM_MS / SLOW_GPU.a;
/** Pods hang up on connections that were idle for five seconds. */
const IDLE_MS = 10_000;
const BURST = 200;

suite('time passes', { concurrency: true }, () => {
  let pods: SimPod[] = [];
  let gateway: Gateway;

  before(async () => {
    pods = await startPods([
      { name: 'slow-0', models: ['slow'], gpu: SLOW_GPU },
      { name: 'quick-0', models: ['quick'], timeScale: 100 },
      { name: 'quick-1', models: ['quick'], timeScale: 100 },
    ]);
    const [slow = '', ...quick] = pods.map(({ endpoint }) => endpoint);
    gateway = await Gateway.start({ resources: [model('slow', [slow]), model('quick', quick)] });
  });

  after(async () => {
    await gateway?.close();
    await Promise.all(pods.map(pod => pod.close()));
  });

  test('a stream of a minute comes whole', async () => {
    const startedMs = performance.now();
    const response = await gateway.chat('slow', {}, { stream: true, max_tokens: STREAM_TOKENS });
    const text = await response.text();
    assert.ok(text.endsWith('data: [DONE]\n\n'), text.slice(-500));
    assert.ok(performance.now() - startedMs >= STREAM_MS, 'it lasted that long');
    assert.equal(pods[0]?.requests[0]?.outcome, 'answered');
  });

  test('a burst after ten idle seconds meets no connection that is being closed', async () => {
    const burst = async () => {
      const answers = await Promise.all(
        Array.from({ length: BURST }, () => gateway.chat('quick', {}, { max_tokens: 2 })),
      );
      await Promise.all(answers.map(response => response.text()));
      return new Set(answers.map(({ status }) => status));
    };
    assert.deepEqual(await burst(), new Set([200]));
    await delay(IDLE_MS);
    assert.deepEqual(await burst(), new Set([200]));
    const arrived = pods.slice(1).reduce((sum, { requests }) => sum + requests.length, 0);
    assert.equal(arrived, 2 * BURST, 'none had to be tried again');
    const { envoy } = gateway.children();
    const closed = await envoyStats(envoy, '^cluster\\.default/quick\\.upstream_cx_(idle_timeout|destroy_remote)$');
    assert.ok((closed.get('cluster.default/quick.upstream_cx_idle_timeout') ?? 0) > 0, 'Envoy hung up');
    assert.equal(closed.get('cluster.default/quick.upstream_cx_destroy_remote'), 0, 'and no pod did before it');
  });
});
