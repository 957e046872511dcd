import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { Agent, type IncomingHttpHeaders, request } from 'node:http';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { stringify } from 'yaml';
import { withParentDeathSignal } from '../../cli/process/parent-death.ts';
import { freePorts } from './harness/free-ports.ts';
import type { Manifest } from './harness/gateway.ts';
import { model } from './harness/gateway.ts';
import { isOpen } from './harness/processes.ts';
import { until } from './harness/until.ts';

const FAIRLEAD = join(import.meta.dirname, '..', '..', 'cli', 'bin', 'fairlead');

/** `fairlead up` over a directory that is there before, with a place of its own for run directories. */
class Up {
  readonly directory: string;
  readonly logs: string;
  readonly #ports: readonly [number, number];
  #process: ChildProcess | undefined;
  output = '';

  private constructor(ports: readonly number[]) {
    const [port = 0, adminPort = 0] = ports;
    this.#ports = [port, adminPort];
    this.directory = mkdtempSync(join(tmpdir(), 'fairlead-e2e-'));
    this.logs = join(this.directory, '.logs');
    for (const path of [this.logs, this.runDirectories]) mkdirSync(path);
    this.write('gateway.yaml', [
      {
        apiVersion: 'fairlead.dev/v1alpha1',
        kind: 'InferenceGateway',
        metadata: { name: 'default' },
        spec: { listeners: [{ name: 'http', port }], admin: { port: adminPort } },
      },
    ]);
  }

  static async prepare(): Promise<Up> {
    return new Up(await freePorts(2));
  }

  get port(): number {
    return this.#ports[0];
  }

  get runDirectories(): string {
    return join(this.directory, '.tmp');
  }

  get process(): ChildProcess {
    return this.#process ?? assert.fail('not started');
  }

  get ended(): boolean {
    return this.process.exitCode !== null || this.process.signalCode !== null;
  }

  write(file: string, resources: readonly Manifest[]): void {
    writeFileSync(join(this.directory, file), resources.map(resource => stringify(resource)).join('---\n'));
  }

  /** Instead of one that a failed test may have left. */
  start(...options: readonly string[]): void {
    this.#process?.kill('SIGKILL');
    this.output = '';
    const [command, ...args] = withParentDeathSignal([
      FAIRLEAD,
      'up',
      this.directory,
      '--concurrency',
      '1',
      ...['--log-dir', this.logs],
      ...options,
    ]);
    const env = { ...process.env, NO_COLOR: '1', TMPDIR: this.runDirectories };
    this.#process = spawn(command, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [this.#process.stdout, this.#process.stderr]) {
      stream?.setEncoding('utf8').on('data', chunk => {
        this.output += chunk;
      });
    }
  }

  async untilShown(text: string): Promise<void> {
    await until(`"${text}"`, () => this.output.includes(text)).catch(error => {
      throw new Error(`${error.message}, but:\n${this.output}`);
    });
  }

  async end(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    this.process.kill(signal);
    await until('the end', () => this.ended, 40_000);
    return this.process.exitCode;
  }

  async chat(name: string): Promise<number> {
    const response = await fetch(`http://127.0.0.1:${this.port}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model: name, messages: [{ role: 'user', content: 'Hi' }], max_tokens: 2 }),
    });
    await response.text();
    return response.status;
  }

  async close(): Promise<void> {
    if (this.#process && !this.ended) {
      this.process.kill('SIGINT');
      await this.end('SIGINT');
    }
    rmSync(this.directory, { recursive: true, force: true });
  }
}

function pod(name: string, port: number, annotations: Readonly<Record<string, string>> = {}): Manifest {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, annotations: { 'sim.fairlead.dev/model': 'm', ...annotations } },
    spec: { containers: [{ name: 'server', image: 'vllm', ports: [{ containerPort: port }] }] },
    status: { podIP: '127.0.0.1', conditions: [{ type: 'Ready', status: 'True' }] },
  };
}

suite('fairlead up', () => {
  let up: Up;
  before(async () => {
    up = await Up.prepare();
  });
  after(() => up.close());

  test('a log file that cannot be written is told of once, and all else goes on', {
    skip: !existsSync('/dev/full'),
  }, async () => {
    const log = join(up.logs, 'fairlead.log');
    symlinkSync('/dev/full', log);
    up.start();
    await up.untilShown('Fairlead is ready.');
    await up.untilShown('cannot be written');
    assert.equal(await up.chat('m'), 404);
    assert.equal(await up.end(), 0);
    assert.equal(up.output.match(/cannot be written/g)?.length, 1);
    rmSync(log);
  });

  test('a terminal that goes away ends nothing', async () => {
    up.start();
    await up.untilShown('Fairlead is ready.');
    up.process.stdout?.destroy();
    up.write('models.yaml', [model('m', ['127.0.0.1:1'])]);
    await until('the change', async () => (await up.chat('m')) === 503);
    assert.equal(await up.end(), 0);
    assert.doesNotMatch(up.output, /EPIPE|at .*\.ts:/);
    assert.deepEqual(readdirSync(up.runDirectories), []);
  });

  test('no run directory is left: not after two signals, and a hard kill’s goes with the next start', async () => {
    up.start();
    await up.untilShown('Fairlead is ready.');
    assert.equal(readdirSync(up.runDirectories).length, 1);
    assert.equal(await up.end('SIGKILL'), null);
    const [left = ''] = readdirSync(up.runDirectories);
    up.start();
    await up.untilShown('Fairlead is ready.');
    const [now, ...others] = readdirSync(up.runDirectories);
    assert.deepEqual(others, []);
    assert.notEqual(now, left);
    // A request that never ends keeps the first signal's way long.
    const held = createServer().listen(0, '127.0.0.1');
    await until('a port', () => held.listening);
    up.write('models.yaml', [model('m', [`127.0.0.1:${(held.address() as { port: number }).port}`])]);
    await up.untilShown('~ m  1/1');
    const connected = once(held, 'connection').then(() => true);
    let asked: Promise<unknown> = Promise.resolve();
    // The terminal tells of a change before requests follow it: one that comes in between is answered at once.
    await until('a request that is held', () => {
      asked = up.chat('m').catch(() => 'cut');
      return Promise.race([connected, asked.then(() => false)]);
    });
    up.process.kill('SIGINT');
    await up.untilShown('Stopping');
    assert.equal(await up.end('SIGTERM'), 143);
    assert.equal(await asked, 'cut');
    held.close();
    assert.deepEqual(readdirSync(up.runDirectories), []);
  });

  test('the logs of the run before are kept, those before it not', () => {
    const logs = readdirSync(up.logs).sort();
    assert.deepEqual(logs, ['access.log', 'access.log.1', 'fairlead.log', 'fairlead.log.1']);
    for (const name of ['fairlead.log', 'fairlead.log.1']) {
      const starts = readFileSync(join(up.logs, name), 'utf8').match(/"event":"child.started","name":"envoy"/g);
      assert.equal(starts?.length, 1, name);
    }
  });

  test('--log-dir that is a file, or cannot be made: said in words', async () => {
    for (const path of [join(up.directory, 'gateway.yaml'), '/proc/nope']) {
      up.start('--log-dir', path);
      await up.untilShown(`fairlead: Logs cannot be written to ${path}: `);
      await until('the end', () => up.ended);
      assert.equal(up.process.exitCode, 1);
      assert.match(up.output, /Choose another place with --log-dir\.\n$/);
    }
  });
});

suite('fairlead up --sim', () => {
  let up: Up;
  let ports: number[];
  const taken = createServer();
  before(async () => {
    up = await Up.prepare();
    ports = await freePorts(3);
    const address = () => `127.0.0.1:${ports[0]}`;
    up.write('models.yaml', [model('m', [address(), `127.0.0.1:${ports[1]}`])]);
    up.write('pods.yaml', [pod('m-0', ports[0] ?? 0)]);
    await new Promise<void>(resolve => taken.listen(ports[2], '127.0.0.1', resolve));
  });
  after(async () => {
    taken.close();
    await up.close();
  });

  test('a port of a simulated pod that is taken stops the start, with the name of the Pod', async () => {
    up.write('more.yaml', [pod('m-2', ports[2] ?? 0)]);
    up.start('--sim');
    await until('the end', () => up.ended);
    assert.equal(up.process.exitCode, 1);
    assert.match(
      up.output,
      new RegExp(
        `^fairlead: 127\\.0\\.0\\.1:${ports[2]} is taken by another program\\. .*the containerPort of Pod m-2\\.\n$`,
      ),
    );
    rmSync(join(up.directory, 'more.yaml'));
  });

  test('pods that come while it runs are played, those that cannot be are told of', async () => {
    up.start('--sim');
    await up.untilShown('Fairlead is ready.');
    assert.equal(await up.chat('m'), 200);
    up.write('more.yaml', [pod('m-1', ports[1] ?? 0), pod('m-2', ports[2] ?? 0)]);
    await up.untilShown(`simulator: 127.0.0.1:${ports[2]} is taken by another process.`);
    await until('the new pod', async () => {
      const answer = await fetch(`http://127.0.0.1:${ports[1]}/health`).catch(() => undefined);
      return answer?.status === 200;
    });
    rmSync(join(up.directory, 'more.yaml'));
  });

  test('stopping under load: clients that keep connections are told, nothing is cut, and it ends soon', async () => {
    const clients = Array.from({ length: 10 }, () => new KeptAlive(up.port));
    await until('everybody answered twice', () => clients.every(({ answers }) => answers.length >= 2));
    up.process.kill('SIGINT');
    await until('the port to close', async () => !(await isOpen(up.port)));
    const before = clients.map(({ answers }) => answers.length);
    await Promise.all(clients.map(client => client.ended));
    const lastAnswerMs = performance.now();
    await until('the end', () => up.ended);
    // The last records are waited for, and each process: far from the half minute that running requests are given.
    assert.ok(performance.now() - lastAnswerMs < 5_000);
    assert.equal(up.process.exitCode, 0);
    for (const [index, { answers, refusal }] of clients.entries()) {
      assert.ok(answers.length <= (before[index] ?? 0) + 2, 'one that was running, and one that crossed the news');
      // Reset: a connection that the kernel took and Envoy no more. No answer was cut, for each client was told before.
      assert.match(refusal ?? '', /^ECONN(REFUSED|RESET)$/);
      const told = answers.findIndex(({ connection }) => connection === 'close');
      assert.notEqual(told, -1);
      assert.ok(answers.slice(told).every(({ connection }) => connection === 'close'));
    }
    assert.match(up.output, /Stopping:[^\n]*\n[^\n]*Stopped\.\n$/, 'and nobody complains');
  });
});

/** A client that asks again as soon as it was answered, over one connection as long as that is kept. */
class KeptAlive {
  readonly answers: IncomingHttpHeaders[] = [];
  /** Why it could not ask once more. */
  refusal: string | undefined;
  readonly ended: Promise<void>;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 });
  readonly #port: number;

  constructor(port: number) {
    this.#port = port;
    this.ended = this.#run();
  }

  async #run(): Promise<void> {
    try {
      for (;;) this.answers.push(await this.#ask());
    } catch (error) {
      this.refusal = (error as NodeJS.ErrnoException).code;
    }
    this.#agent.destroy();
  }

  #ask(): Promise<IncomingHttpHeaders> {
    const body = JSON.stringify({ model: 'm', messages: [{ role: 'user', content: 'Hi' }], max_tokens: 30 });
    const options = {
      agent: this.#agent,
      port: this.#port,
      method: 'POST',
      path: '/v1/chat/completions',
      headers: { 'content-type': 'application/json', 'content-length': body.length },
    };
    return new Promise((resolve, reject) => {
      const outgoing = request(options, response => {
        response.resume();
        response.once('end', () => resolve({ connection: 'keep-alive', ...response.headers }));
        response.once('error', reject);
      });
      outgoing.once('error', reject);
      outgoing.end(body);
    });
  }
}
