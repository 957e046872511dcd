import assert from 'node:assert/strict';
import { connect, createServer, type Server } from 'node:net';
import { after, before, suite, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { type SimPod, startPods } from '../../sim/pod.ts';
import type { Child } from './harness/child.ts';
import { model } from './harness/gateway.ts';
import { SeparateGateway } from './harness/separate-gateway.ts';
import { until } from './harness/until.ts';

/** How late a Service notices that a pod's readiness changed: the kubelet's probe, the API server, kube-proxy. */
const PROBE_INTERVAL_MS = 100;
const PROXY_LAG_MS = 400;
/** Longer than both together on a busy machine, and than clients keep a connection that they do not use (undici: 4 s). */
const MIN_ACCEPT = '5s';

/** A Service as kube-proxy makes it: each new connection goes to a gateway that was ready a while ago. */
class Service {
  readonly #gateways: SeparateGateway[] = [];
  readonly #server: Server;
  #backends: readonly SeparateGateway[] = [];
  #turn = 0;
  #closed = false;

  constructor() {
    this.#server = createServer(client => {
      const backend = this.#backends[this.#turn++ % this.#backends.length];
      const server = connect(backend?.port ?? 0, '127.0.0.1');
      client.pipe(server).pipe(client);
      for (const socket of [client, server]) {
        socket.on('error', () => undefined);
        socket.on('close', () => {
          client.destroy();
          server.destroy();
        });
      }
    });
  }

  async start(): Promise<void> {
    await new Promise<void>(resolve => this.#server.listen(0, '127.0.0.1', resolve));
    void this.#follow();
  }

  get url(): string {
    const address = this.#server.address();
    return `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`;
  }

  get backends(): readonly SeparateGateway[] {
    return this.#backends;
  }

  add(gateway: SeparateGateway): void {
    this.#gateways.push(gateway);
  }

  stop(): void {
    this.#closed = true;
    this.#server.close();
  }

  async #follow(): Promise<void> {
    while (!this.#closed) {
      const ready = await Promise.all(this.#gateways.map(async gateway => (await gateway.readiness()) === 200));
      const backends = this.#gateways.filter((_, index) => ready[index]);
      setTimeout(() => {
        this.#backends = backends;
      }, PROXY_LAG_MS).unref();
      await delay(PROBE_INTERVAL_MS);
    }
  }
}

/** Asks at its own pace, whoever is slow: half of the answers are streams. */
class OpenLoad {
  answered = 0;
  readonly failures: string[] = [];
  readonly #running = new Set<Promise<void>>();
  readonly #timer: NodeJS.Timeout;
  #sent = 0;

  constructor(url: string, intervalMs: number) {
    this.#timer = setInterval(() => {
      const stream = this.#sent++ % 2 === 0;
      const one = this.#ask(url, stream)
        .catch((error: Error) => void this.failures.push(`${error.message} ${(error.cause as Error)?.message ?? ''}`))
        .finally(() => this.#running.delete(one));
      this.#running.add(one);
    }, intervalMs);
  }

  async untilMore(more: number): Promise<void> {
    const wanted = this.answered + more;
    await until(`${more} more answers`, () => this.answered >= wanted, 60_000);
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all(this.#running);
  }

  async #ask(url: string, stream: boolean): Promise<void> {
    const response = await fetch(`${url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'm', messages: [{ role: 'user', content: 'Hi' }], max_tokens: 20, stream }),
    });
    const text = await response.text();
    if (response.status !== 200) throw new Error(`${response.status} ${text}`);
    if (stream && !text.endsWith('data: [DONE]\n\n')) throw new Error(`cut: ${text}`);
    this.answered++;
  }
}

suite('gateways are replaced one after the other under load', () => {
  const service = new Service();
  const gateways: { readonly gateway: SeparateGateway; readonly extproc: Child; readonly envoy: Child }[] = [];
  let pods: SimPod[] = [];
  let load: OpenLoad | undefined;

  before(async () => {
    pods = await startPods(['m-0', 'm-1'].map(name => ({ name, models: ['m'] })));
    await service.start();
  });

  after(async () => {
    await load?.stop();
    service.stop();
    await Promise.all(gateways.map(({ gateway }) => gateway.close()));
    await Promise.all(pods.map(pod => pod.close()));
  });

  async function startGateway() {
    const endpoints = pods.map(({ endpoint }) => endpoint);
    const gateway = await SeparateGateway.create([model('m', endpoints)]);
    gateway.startOperator();
    const started = { gateway, extproc: gateway.startExtproc(), envoy: gateway.startEnvoy() };
    gateways.push(started);
    service.add(gateway);
    await until('the Service to know', () => service.backends.includes(gateway));
    return started;
  }

  test('no request fails', async () => {
    let old = await startGateway();
    load = new OpenLoad(service.url, 25);
    await load.untilMore(40);
    for (let turn = 0; turn < 3; turn++) {
      const next = await startGateway();
      const drain = old.gateway.startDrain('--min-accept', MIN_ACCEPT);
      assert.equal(await drain.ended(), 0, drain.output);
      assert.equal(await old.envoy.end('SIGTERM'), 0);
      assert.equal(await old.extproc.end('SIGTERM'), 0);
      await load.untilMore(40);
      old = next;
    }
    await load.stop();
    assert.deepEqual(load.failures, []);
  });
});
