import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import type { UsageRecord } from '../../../extproc/admit/usage-record.ts';
import { Child } from './child.ts';
import { freePorts } from './free-ports.ts';
import type { Manifest } from './gateway.ts';
import { until } from './until.ts';

interface ReplicasOptions {
  readonly count: number;
  /** ModelDeployments, Consumers and Secrets; the InferenceGateway is made here. */
  readonly resources: readonly Manifest[];
  /** Of the InferenceGateway, besides its ports. */
  readonly gateway?: Readonly<Record<string, unknown>>;
}

/**
 * One gateway of several nodes under one operator, each an extproc and an Envoy. All Envoys have the same port, over
 * which the kernel spreads connections as a Service would (SO_REUSEPORT); the admin address is that of the first.
 */
export class Replicas {
  readonly nodes: readonly Replica[];
  readonly #base = mkdtempSync(join(tmpdir(), 'fairlead-e2e-'));
  readonly #resources = join(this.#base, 'resources');
  readonly #port: number;
  readonly #adminPort: number;
  readonly #operator: Child;

  private constructor(options: ReplicasOptions, [port = 0, adminPort = 0, ...probePorts]: readonly number[]) {
    this.#port = port;
    this.#adminPort = adminPort;
    mkdirSync(this.#resources);
    this.write('models.yaml', options.resources);
    this.writeGateway(options.gateway ?? {});
    const controlPlane = `unix:${join(this.#base, 'operator.sock')}`;
    this.#operator = new Child('operator', this.#resources, '--listen', controlPlane);
    this.nodes = probePorts.map((probePort, at) => new Replica({ base: this.#base, at, probePort, controlPlane }));
  }

  /** Nodes that answer, each of which has been told how many there are; to be closed. */
  static async start(options: ReplicasOptions): Promise<Replicas> {
    const replicas = new Replicas(options, await freePorts(2 + options.count));
    try {
      // The first has the admin address.
      for (const node of replicas.nodes) await node.start();
      await until('one table at all nodes', () => {
        const [version] = versionsIn(replicas.#operator.output, 'published').slice(-1);
        return replicas.nodes.every(({ extproc }) => versionsIn(extproc.output, 'applied').at(-1) === version);
      });
      return replicas;
    } catch (error) {
      const told = replicas.nodes.map(({ extproc }) => extproc?.output ?? '');
      await replicas.close();
      throw new Error(`${error}\n${[replicas.#operator.output, ...told].join('\n\n')}`);
    }
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  get port(): number {
    return this.#port;
  }

  /** Writes a file of the directory. */
  write(file: string, resources: readonly Manifest[]): void {
    writeFileSync(join(this.#resources, file), resources.map(manifest => stringify(manifest)).join('---\n'));
  }

  /** Changes the InferenceGateway: what is given here, besides its ports. */
  writeGateway(spec: Readonly<Record<string, unknown>>): void {
    const ports = { listeners: [{ name: 'http', port: this.#port }], admin: { port: this.#adminPort } };
    const metadata = { name: 'default' };
    const kind = 'InferenceGateway';
    this.write('gateway.yaml', [{ apiVersion: 'fairlead.dev/v1alpha1', kind, metadata, spec: { ...ports, ...spec } }]);
  }

  /** What all nodes wrote of the requests that they settled. */
  usageRecords(): readonly UsageRecord[] {
    return this.nodes.flatMap(node => node.usageRecords());
  }

  async close(): Promise<void> {
    await Promise.all(this.nodes.map(node => node.close()));
    await this.#operator.end('SIGKILL');
    rmSync(this.#base, { recursive: true, force: true });
  }
}

interface ReplicaPlace {
  readonly base: string;
  readonly at: number;
  readonly probePort: number;
  readonly controlPlane: string;
}

/** One of them. */
export class Replica {
  readonly #place: ReplicaPlace;
  readonly #runDir: string;
  readonly #usageFile: string;
  extproc!: Child;
  envoy!: Child;

  constructor(place: ReplicaPlace) {
    this.#place = place;
    this.#runDir = join(place.base, `run-${place.at}`);
    this.#usageFile = join(place.base, `usage-${place.at}.jsonl`);
    mkdirSync(this.#runDir);
    chmodSync(this.#runDir, 0o700);
  }

  async start(): Promise<void> {
    this.startExtproc();
    this.startEnvoy();
    await this.untilReady();
  }

  startExtproc(): void {
    const { at, controlPlane, probePort } = this.#place;
    this.extproc = new Child(
      'extproc',
      ...['--run-dir', this.#runDir, '--control-plane', controlPlane, '--node-id', `node-${at}`],
      ...['--probe-listen', `127.0.0.1:${probePort}`, '--usage-records', this.#usageFile],
      ...['--access-log', join(this.#place.base, `access-${at}.log`)],
    );
  }

  startEnvoy(): void {
    const { at } = this.#place;
    this.envoy = new Child('envoy', '--run-dir', this.#runDir, '--node-id', `node-${at}`, '--concurrency', '1');
  }

  async untilReady(): Promise<void> {
    const url = `http://127.0.0.1:${this.#place.probePort}/readyz`;
    await until(`node ${this.#place.at} to be ready`, () =>
      fetch(url, { headers: { connection: 'close' } }).then(
        ({ ok }) => ok,
        () => false,
      ),
    );
  }

  /** What it wrote of the requests that it settled. */
  usageRecords(): readonly UsageRecord[] {
    if (!existsSync(this.#usageFile)) return [];
    return (
      readFileSync(this.#usageFile, 'utf8')
        .split('\n')
        // The last one may still be on its way.
        .slice(0, -1)
        .map(line => JSON.parse(line) as UsageRecord)
    );
  }

  async close(): Promise<void> {
    await Promise.all([this.extproc, this.envoy].map(child => child?.end('SIGKILL')));
  }
}

/** Versions of tables in a log, in their order. */
function versionsIn(log: string, what: 'published' | 'applied'): readonly string[] {
  return log
    .split('\n')
    .filter(line => line.includes(`"event":"table.${what}"`))
    .map(line => (JSON.parse(line) as { readonly version: string }).version);
}
