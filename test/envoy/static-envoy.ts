import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bootstrap, COMPONENT_LOG_LEVELS } from '../../agent/envoy/bootstrap.ts';
import { deriveEnvoy } from '../../agent/envoy/derive.ts';
import { type SampleModel, sampleTable } from '../../agent/envoy/sample-table.fixture.ts';
import { envoyBinary } from '../../cli/setup/envoy-binary.ts';
import type { BootstrapJson } from '../../proto/gen/envoy/config/bootstrap/v3/bootstrap_pb.js';
import { freePorts } from '../e2e/harness/free-ports.ts';
import { until } from '../e2e/harness/until.ts';
import { staticConfiguration } from './static-configuration.ts';

interface StaticEnvoyOptions {
  readonly models?: Readonly<Record<string, SampleModel>>;
  readonly gateway?: Parameters<typeof sampleTable>[1];
  readonly secrets?: Parameters<typeof sampleTable>[2];
  /** Changes the configuration before it is used: for what cannot be provoked from outside. */
  readonly edit?: (configuration: BootstrapJson) => void;
}

/** A real Envoy with what is derived from a table, without an agent. Extproc's socket is there for who wants to be it. */
export class StaticEnvoy {
  readonly port: number;
  readonly extprocSocket: string;
  readonly #directory: string;
  readonly #child: ChildProcess;
  #stderr = '';

  private constructor(port: number, directory: string, child: ChildProcess) {
    this.port = port;
    this.extprocSocket = join(directory, 'extproc.sock');
    this.#directory = directory;
    this.#child = child;
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr += text;
    });
  }

  static async start(options: StaticEnvoyOptions = {}): Promise<StaticEnvoy> {
    const directory = await mkdtemp(join(tmpdir(), 'fairlead-envoy-'));
    const [port = 0] = await freePorts(1);
    const listeners = [{ name: 'http', address: '127.0.0.1', port }];
    const table = sampleTable(options.models ?? {}, { listeners, ...options.gateway }, options.secrets);
    const configuration = staticConfiguration(
      bootstrap({
        nodeId: 'test',
        agentSocket: join(directory, 'agent.sock'),
        extprocSocket: join(directory, 'extproc.sock'),
        admin: join(directory, 'admin.sock'),
        maxHeapBytes: 2 ** 30,
      }),
      deriveEnvoy(table, { accessLogPath: join(directory, 'access.json') }),
    );
    options.edit?.(configuration);
    const file = join(directory, 'envoy.json');
    await writeFile(file, JSON.stringify(configuration));
    const binary = await envoyBinary(line => process.stderr.write(`${line}\n`));
    const args = ['--config-path', file, '--concurrency', '1', '--disable-hot-restart', '--log-level', 'warning'];
    const child = spawn(
      binary,
      [...args, '--component-log-level', COMPONENT_LOG_LEVELS, '--file-flush-interval-msec', '10'],
      {
        stdio: ['ignore', 'ignore', 'pipe'],
      },
    );
    const envoy = new StaticEnvoy(port, directory, child);
    try {
      await until('Envoy is ready', () => envoy.#isReady());
    } catch (error) {
      await envoy.stop();
      throw new Error(`${error}\n${envoy.#stderr}`);
    }
    return envoy;
  }

  /** What the JSON access log says of the exchange with that id, extproc's or the client's; waits until it is written. */
  accessRecord(id: string): Promise<Record<string, unknown>> {
    return until(`access record of ${id}`, async () => {
      const lines = (await readFile(join(this.#directory, 'access.json'), 'utf8')).split('\n').slice(0, -1);
      return lines.map(line => JSON.parse(line)).find(record => record.id === id || record.request_id === id);
    });
  }

  /** What went wrong inside Envoy that no client sees. */
  get bugs(): string[] {
    return this.#stderr.split('\n').filter(line => line.includes('envoy bug failure'));
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      this.#child.kill('SIGKILL');
      await once(this.#child, 'exit');
    }
    await rm(this.#directory, { recursive: true, force: true });
  }

  #isReady(): Promise<boolean> {
    if (this.#child.exitCode !== null) throw new Error(`Envoy ended with ${this.#child.exitCode}`);
    return new Promise(resolve => {
      request({ socketPath: join(this.#directory, 'admin.sock'), path: '/ready' }, response => {
        response.resume();
        resolve(response.statusCode === 200);
      })
        .on('error', () => resolve(false))
        .end();
    });
  }
}
