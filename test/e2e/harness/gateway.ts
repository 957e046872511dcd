import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import type { NodeDescription } from '../../../agent/admin/pages.ts';
import type { ModelExplanation } from '../../../agent/messages.ts';
import { withParentDeathSignal } from '../../../cli/process/parent-death.ts';
import type { UsageRecord } from '../../../extproc/admit/usage-record.ts';
import { freePorts } from './free-ports.ts';
import { until } from './until.ts';

const FAIRLEAD = join(import.meta.dirname, '..', '..', '..', 'cli', 'bin', 'fairlead');

/** A resource as YAML would have it. */
export type Manifest = Readonly<Record<string, unknown>>;

export interface GatewayOptions {
  /** ModelDeployments and Pods; the InferenceGateway is made here. */
  readonly resources: readonly Manifest[];
  /** Of the InferenceGateway, besides its ports. */
  readonly gateway?: Readonly<Record<string, unknown>>;
  readonly logLevel?: 'debug' | 'info';
  readonly concurrency?: number;
  /** Whether usage records are written, to the file that `usageRecords` reads. */
  readonly usageRecords?: boolean;
}

/** One `fairlead up` over a directory of its own, with a real Envoy. */
export class Gateway {
  readonly directory = mkdtempSync(join(tmpdir(), 'fairlead-e2e-'));
  readonly port: number;
  readonly adminPort: number;
  readonly #args: readonly string[];
  #process: ChildProcess;
  #output = '';
  #ended = false;

  private constructor(options: GatewayOptions, [port = 0, adminPort = 0]: readonly number[]) {
    this.port = port;
    this.adminPort = adminPort;
    this.write('gateway.yaml', [gatewayManifest(port, adminPort, options.gateway)]);
    this.write('models.yaml', options.resources);
    const { logLevel = 'info', concurrency = 1, usageRecords = false } = options;
    this.#args = [
      ...[this.directory, '--concurrency', String(concurrency)],
      ...['--log-dir', this.logs, '--log-level', logLevel],
      ...(usageRecords ? ['--usage-records', this.#usageFile] : []),
    ];
    this.#process = this.#spawn();
  }

  /** A gateway that answers; to be closed. */
  static async start(options: GatewayOptions): Promise<Gateway> {
    const gateway = new Gateway(options, await freePorts(2));
    try {
      await gateway.untilShown('Fairlead is ready.');
    } catch (error) {
      await gateway.close();
      throw error;
    }
    return gateway;
  }

  /** Ends `fairlead up` by that signal and starts it again as it was; resolves when it answers. */
  async restart(signal: NodeJS.Signals): Promise<void> {
    this.kill(signal);
    await this.untilEnded();
    this.#output = '';
    this.#ended = false;
    this.#process = this.#spawn();
    await this.untilShown('Fairlead is ready.');
  }

  #spawn(): ChildProcess {
    // A test that is killed must not leave its gateway behind.
    const [command, ...args] = withParentDeathSignal([FAIRLEAD, 'up', ...this.#args]);
    const child = spawn(command, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, NO_COLOR: '1' },
    });
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8').on('data', chunk => {
        this.#output += chunk;
      });
    }
    child.once('exit', () => {
      this.#ended = true;
    });
    return child;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  get admin(): string {
    return `http://127.0.0.1:${this.adminPort}`;
  }

  /** Of `fairlead up` itself. */
  get pid(): number {
    return this.#process.pid ?? 0;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Of `fairlead up`; null while it runs, and when a signal ended it. */
  get exitCode(): number | null {
    return this.#process.exitCode;
  }

  /** What the person at the terminal has seen. */
  get output(): string {
    return this.#output;
  }

  get logs(): string {
    return join(this.directory, '.logs');
  }

  /** Writes a file of the directory: resources, or text as it is. */
  write(file: string, content: readonly Manifest[] | string): void {
    const text = typeof content === 'string' ? content : content.map(manifest => stringify(manifest)).join('---\n');
    writeFileSync(join(this.directory, file), text);
  }

  /** Changes the InferenceGateway: what is given here, besides the admin port. */
  writeGateway(spec: Readonly<Record<string, unknown>>): void {
    this.write('gateway.yaml', [gatewayManifest(this.port, this.adminPort, spec)]);
  }

  remove(file: string): void {
    rmSync(join(this.directory, file));
  }

  async untilShown(text: string): Promise<void> {
    await until(`"${text}" on the terminal, where there is:\n${this.#output}`, () => {
      if (this.#ended && !this.#output.includes(text)) throw new Error(`fairlead ended:\n${this.#output}`);
      return this.#output.includes(text);
    }).catch(error => {
      throw new Error(`${error.message}\n${this.#output}`);
    });
  }

  post(path: string, body: unknown, init: RequestInit = {}): Promise<Response> {
    const headers = { 'content-type': 'application/json', ...(init.headers as Record<string, string> | undefined) };
    return fetch(`${this.url}${path}`, { ...init, method: 'POST', headers, body: JSON.stringify(body) });
  }

  chat(model: string, init: RequestInit = {}, more: Readonly<Record<string, unknown>> = {}): Promise<Response> {
    return this.post('/v1/chat/completions', { model, messages: [{ role: 'user', content: 'Hi' }], ...more }, init);
  }

  async node(): Promise<NodeDescription> {
    return (await (await fetch(`${this.admin}/table`)).json()) as NodeDescription;
  }

  async explain(model: string): Promise<ModelExplanation> {
    const answer = (await (await fetch(`${this.admin}/explain?model=${encodeURIComponent(model)}`)).json()) as {
      model: ModelExplanation;
    };
    return answer.model;
  }

  metrics(): Promise<string> {
    return fetch(`${this.admin}/metrics`).then(response => response.text());
  }

  /** The value of the one metric whose name and labels are written like this; 0 when it is not there. */
  async metric(sample: string): Promise<number> {
    const line = (await this.metrics()).split('\n').find(text => text.startsWith(`${sample} `));
    return Number(line?.slice(sample.length + 1) ?? 0);
  }

  /** Waits until picks follow a table in which the model has that many endpoints. */
  async untilServed(model: string, endpoints: number): Promise<void> {
    await until(`${model} with ${endpoints} endpoints`, async () => {
      const { models } = await this.node();
      return models.find(({ id }) => id === model)?.endpoints.ready === endpoints;
    });
  }

  /** Events of a kind that the processes logged so far, as far as they have been written. */
  events<Event extends object>(kind: string): Event[] {
    return (
      readFileSync(join(this.logs, 'fairlead.log'), 'utf8')
        .split('\n')
        // The last one may still be on its way.
        .slice(0, -1)
        .filter(line => line.includes(`"event":"${kind}"`))
        .map(line => JSON.parse(line) as Event)
    );
  }

  get #usageFile(): string {
    return join(this.directory, '.usage.jsonl');
  }

  /** Lines of the usage records so far. */
  usageRecords(): UsageRecord[] {
    return (
      readFileSync(this.#usageFile, 'utf8')
        .split('\n')
        // The last one may still be on its way.
        .slice(0, -1)
        .map(line => JSON.parse(line) as UsageRecord)
    );
  }

  accessLog(): Record<string, unknown>[] {
    return readFileSync(join(this.logs, 'access.log'), 'utf8')
      .split('\n')
      .filter(line => line !== '')
      .map(line => JSON.parse(line));
  }

  /** The process ids of the children, by what runs in them. */
  children(): { extproc: number; envoy: number } {
    const started = this.events<{ name: string; pid: number }>('child.started');
    const last = (name: string) => started.findLast(event => event.name === name)?.pid ?? 0;
    return { extproc: last('extproc'), envoy: last('envoy') };
  }

  kill(signal: NodeJS.Signals): void {
    this.#process.kill(signal);
  }

  async untilEnded(): Promise<void> {
    await until('the end of fairlead up', () => this.#ended, 60_000);
  }

  async close(): Promise<void> {
    // The second signal skips what is left to drain.
    this.kill('SIGINT');
    const force = setInterval(() => this.kill('SIGINT'), 1_000);
    await this.untilEnded();
    clearInterval(force);
    rmSync(this.directory, { recursive: true, force: true });
  }
}

function gatewayManifest(port: number, adminPort: number, spec: GatewayOptions['gateway']): Manifest {
  return {
    apiVersion: 'fairlead.dev/v1alpha1',
    kind: 'InferenceGateway',
    metadata: { name: 'default' },
    spec: { listeners: [{ name: 'http', port }], admin: { port: adminPort }, ...spec },
  };
}

/** A ModelDeployment of one backend with fixed endpoints. */
export function model(
  name: string,
  endpoints: readonly string[],
  { backend = {}, ...spec }: { readonly backend?: object; readonly [field: string]: unknown } = {},
): Manifest {
  return {
    apiVersion: 'fairlead.dev/v1alpha1',
    kind: 'ModelDeployment',
    metadata: { name },
    spec: {
      type: 'text-generation',
      backends: [{ name: 'pods', runtime: 'vllm', endpoints: [...endpoints], ...backend }],
      ...spec,
    },
  };
}
