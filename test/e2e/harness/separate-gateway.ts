import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { Child } from './child.ts';
import { freePorts } from './free-ports.ts';
import type { Manifest } from './gateway.ts';
import { until } from './until.ts';

/**
 * A gateway whose processes are started one by one, as the containers of a pod are: they meet in a directory that
 * everybody may write to, as the kubelet makes it.
 */
export class SeparateGateway {
  readonly port: number;
  readonly #base = mkdtempSync(join(tmpdir(), 'fairlead-e2e-'));
  readonly #resources = join(this.#base, 'resources');
  readonly #runDir = join(this.#base, 'run');
  readonly #adminPort: number;
  readonly #probePort: number;
  readonly #children: Child[] = [];

  private constructor([port = 0, adminPort = 0, probePort = 0]: readonly number[]) {
    this.port = port;
    this.#adminPort = adminPort;
    this.#probePort = probePort;
    for (const path of [this.#resources, this.#runDir]) mkdirSync(path);
    chmodSync(this.#runDir, 0o777);
  }

  static async create(models: readonly Manifest[]): Promise<SeparateGateway> {
    const gateway = new SeparateGateway(await freePorts(3));
    const settings = {
      apiVersion: 'fairlead.dev/v1alpha1',
      kind: 'InferenceGateway',
      metadata: { name: 'default' },
      spec: { listeners: [{ name: 'http', port: gateway.port }], admin: { port: gateway.#adminPort } },
    };
    const text = [settings, ...models].map(manifest => stringify(manifest)).join('---\n');
    writeFileSync(join(gateway.#resources, 'all.yaml'), text);
    return gateway;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  startOperator(): Child {
    return this.#start('operator', this.#resources, '--listen', this.#controlPlane);
  }

  startExtproc(...more: readonly string[]): Child {
    const probe = `127.0.0.1:${this.#probePort}`;
    const own = ['--control-plane', this.#controlPlane, '--probe-listen', probe];
    return this.#start('extproc', '--run-dir', this.#runDir, ...own, ...more);
  }

  startEnvoy(): Child {
    return this.#start('envoy', '--run-dir', this.#runDir, '--concurrency', '1');
  }

  startDrain(...options: readonly string[]): Child {
    return this.#start('drain', '--run-dir', this.#runDir, ...options);
  }

  /** Status of a page of the probe address; undefined where nobody answers. */
  probe(page: string): Promise<number | undefined> {
    return statusOf(`http://127.0.0.1:${this.#probePort}${page}`);
  }

  /** What /readyz says through Envoy; undefined where nobody answers. */
  readiness(): Promise<number | undefined> {
    return statusOf(`${this.url}/readyz`);
  }

  async untilReady(): Promise<void> {
    await until(`readiness of port ${this.port}`, async () => (await this.readiness()) === 200);
  }

  async metrics(): Promise<string> {
    return (await fetch(`http://127.0.0.1:${this.#adminPort}/metrics`)).text();
  }

  async close(): Promise<void> {
    await Promise.all(this.#children.map(child => child.end('SIGKILL')));
    rmSync(this.#base, { recursive: true, force: true });
  }

  get #controlPlane(): string {
    return `unix:${join(this.#base, 'operator.sock')}`;
  }

  #start(...args: readonly string[]): Child {
    const child = new Child(...args);
    this.#children.push(child);
    return child;
  }
}

/** On a connection of its own, as the kubelet asks. */
function statusOf(url: string): Promise<number | undefined> {
  return fetch(url, { headers: { connection: 'close' } }).then(
    async response => {
      await response.arrayBuffer();
      return response.status;
    },
    () => undefined,
  );
}
