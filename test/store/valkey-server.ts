import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis, type RedisOptions } from 'ioredis';
import { withParentDeathSignal } from '../../cli/process/parent-death.ts';
import type { KeyPair } from '../e2e/harness/certificates.ts';
import { freePorts } from '../e2e/harness/free-ports.ts';
import { until } from '../e2e/harness/until.ts';

export interface ValkeyServerOptions {
  /** Where it listens, and nowhere else: 127.0.0.1 when absent. */
  readonly address?: string;
  /** Of the default user; none when absent. */
  readonly password?: string;
  /** Then it speaks TLS only; clients need not show a certificate. */
  readonly tls?: KeyPair;
  /** Every write is on disk before it is answered, for `restart` to find it. */
  readonly persistent?: boolean;
  /** A cluster of this node alone, which has all slots. */
  readonly cluster?: boolean;
}

/** A real Valkey (or Redis) on a free port, to be stopped. */
export class ValkeyServer {
  readonly #program: string;
  readonly #options: ValkeyServerOptions;
  readonly #directory = mkdtempSync(join(tmpdir(), 'fairlead-store-'));
  readonly #busPort: number;
  readonly port: number;
  #child: ChildProcess | undefined;
  #log = '';

  private constructor(program: string, [port = 0, busPort = 0]: readonly number[], options: ValkeyServerOptions) {
    this.#program = program;
    this.#options = options;
    this.port = port;
    this.#busPort = busPort;
  }

  /** One that answers; fetches the program where there is none yet. */
  static async start(options: ValkeyServerOptions = {}): Promise<ValkeyServer> {
    const program = execFileSync(join(import.meta.dirname, 'setup.sh'), {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const server = new ValkeyServer(program.trim(), await freePorts(2), options);
    try {
      await server.restart();
      if (options.cluster) await server.#takeAllSlots();
    } catch (error) {
      server.stop();
      throw error;
    }
    return server;
  }

  /** As an InferenceGateway names it. */
  get url(): string {
    return `${this.#options.tls ? 'valkeys' : 'valkey'}://${this.#address}:${this.port}`;
  }

  get #address(): string {
    return this.#options.address ?? '127.0.0.1';
  }

  /** A connection for what the tests themselves ask; to be ended by `disconnect`. TLS is not verified. */
  client(): Redis {
    const { password, tls } = this.#options;
    const options: Omit<RedisOptions, 'replyMapping'> = { host: this.#address, port: this.port };
    if (password !== undefined) options.password = password;
    if (tls) options.tls = { rejectUnauthorized: false };
    return new Redis(options);
  }

  /** Answers to nobody until `resume`, and keeps its connections. */
  pause(): void {
    this.#child?.kill('SIGSTOP');
  }

  resume(): void {
    this.#child?.kill('SIGCONT');
  }

  /** Ends it at once, as when its machine is gone. */
  async kill(): Promise<void> {
    const child = this.#child;
    child?.kill('SIGKILL');
    await until('the end of the store', () => child?.exitCode !== null || child?.signalCode !== null);
  }

  /** Brings it back where it was: with its data if it is persistent, else empty. */
  async restart(): Promise<void> {
    this.#log = '';
    const [command, ...args] = withParentDeathSignal([this.#program, ...this.#arguments()]);
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    this.#child = child;
    child.stdout.setEncoding('utf8').on('data', chunk => {
      this.#log += chunk;
    });
    await until('the start of the store', () => {
      if (child.exitCode !== null) throw new Error(`the store ended with ${child.exitCode}:\n${this.#log}`);
      return this.#log.includes('Ready to accept connections');
    });
  }

  /** Ends it and removes its data. */
  stop(): void {
    this.#child?.kill('SIGKILL');
    rmSync(this.#directory, { recursive: true, force: true, maxRetries: 5 });
  }

  #arguments(): string[] {
    const { password, tls, persistent = false, cluster = false } = this.#options;
    const directory = this.#directory;
    const args = ['--bind', this.#address, '--dir', directory, '--save', '', '--daemonize', 'no'];
    if (password !== undefined) args.push('--requirepass', password);
    if (persistent) args.push('--appendonly', 'yes', '--appendfsync', 'always');
    if (cluster) args.push('--cluster-enabled', 'yes', '--cluster-port', `${this.#busPort}`);
    if (cluster) args.push('--cluster-announce-ip', this.#address);
    if (!tls) return [...args, '--port', `${this.port}`];
    const [certificate, key] = [join(directory, 'tls.crt'), join(directory, 'tls.key')];
    writeFileSync(certificate, tls.certificate);
    writeFileSync(key, tls.key, { mode: 0o600 });
    args.push('--port', '0', '--tls-port', `${this.port}`, '--tls-auth-clients', 'no');
    return [...args, '--tls-cert-file', certificate, '--tls-key-file', key, '--tls-ca-cert-file', certificate];
  }

  async #takeAllSlots(): Promise<void> {
    const client = this.client();
    try {
      await client.call('CLUSTER', 'ADDSLOTSRANGE', '0', '16383');
      await until('the cluster', async () => `${await client.call('CLUSTER', 'INFO')}`.includes('cluster_state:ok'));
    } finally {
      client.disconnect();
    }
  }
}
