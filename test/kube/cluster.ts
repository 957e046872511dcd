import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { withParentDeathSignal } from '../../cli/process/parent-death.ts';
import { freePorts } from '../e2e/harness/free-ports.ts';
import { until } from '../e2e/harness/until.ts';

const START_TIMEOUT_MS = 60_000;

/** A real kube-apiserver over a real etcd, on loopback, with nothing in it. */
export class Cluster {
  readonly #directory = mkdtempSync(join(tmpdir(), 'fairlead-kube-'));
  readonly #bin: string;
  readonly #token = randomBytes(16).toString('hex');
  readonly #ports: readonly number[];
  readonly #children = new Set<ChildProcess>();
  #log = '';

  private constructor(bin: string, ports: readonly number[]) {
    this.#bin = bin;
    this.#ports = ports;
  }

  /** A cluster that answers; to be stopped. Builds its programs where nobody has yet. */
  static async start(): Promise<Cluster> {
    const bin = execFileSync(join(import.meta.dirname, 'build.sh'), {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const cluster = new Cluster(bin.trim(), await freePorts(3));
    try {
      await cluster.#start();
    } catch (error) {
      cluster.stop();
      throw error;
    }
    return cluster;
  }

  /** "https://127.0.0.1:port" */
  get server(): string {
    return `https://127.0.0.1:${this.#ports[2]}`;
  }

  /** For an administrator. */
  get kubeconfig(): string {
    return join(this.#directory, 'kubeconfig');
  }

  /** What kubectl prints; rejects with what it says when it fails. */
  async kubectl(args: readonly string[], stdin = ''): Promise<string> {
    const running = promisify(execFile)(join(this.#bin, 'kubectl'), ['--kubeconfig', this.kubeconfig, ...args]);
    running.child.stdin?.end(stdin);
    return (await running).stdout;
  }

  /** Takes the API server away, as in an outage; its data stays. */
  async stopApiServer(): Promise<void> {
    const child = [...this.#children].at(-1);
    child?.kill('SIGKILL');
    await until('the end of the API server', () => child?.exitCode !== null || child?.signalCode !== null);
    if (child) this.#children.delete(child);
  }

  /** And brings it back. */
  async startApiServer(): Promise<void> {
    const [etcd, , port] = this.#ports;
    const signing = join(this.#directory, 'sa.key');
    this.#run('kube-apiserver', [
      `--etcd-servers=http://127.0.0.1:${etcd}`,
      '--bind-address=127.0.0.1',
      '--advertise-address=127.0.0.1',
      `--secure-port=${port}`,
      `--cert-dir=${join(this.#directory, 'certs')}`,
      `--token-auth-file=${join(this.#directory, 'tokens.csv')}`,
      '--authorization-mode=RBAC',
      `--service-account-issuer=${this.server}`,
      `--service-account-key-file=${signing}`,
      `--service-account-signing-key-file=${signing}`,
      '--service-cluster-ip-range=10.0.0.0/24',
      // It would complain for ever about its own loopback address.
      '--endpoint-reconciler-type=none',
      // No controller makes the default ServiceAccount.
      '--disable-admission-plugins=ServiceAccount',
    ]);
    await until(`the API server\n${this.#log}`, () => this.#isReady(), START_TIMEOUT_MS);
  }

  /** Ends it and removes its data. */
  stop(): void {
    for (const child of this.#children) child.kill('SIGKILL');
    rmSync(this.#directory, { recursive: true, force: true, maxRetries: 5 });
  }

  async #start(): Promise<void> {
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    writeFileSync(join(this.#directory, 'sa.key'), privateKey.export({ type: 'pkcs1', format: 'pem' }));
    writeFileSync(join(this.#directory, 'tokens.csv'), `${this.#token},admin,admin,system:masters\n`);
    writeFileSync(this.kubeconfig, this.#kubeconfig());
    const [client, peer] = this.#ports.map(port => `http://127.0.0.1:${port}`);
    this.#run('etcd', [
      ...['--name', 'test', '--data-dir', join(this.#directory, 'etcd'), '--log-level', 'warn', '--unsafe-no-fsync'],
      ...['--listen-client-urls', `${client}`, '--advertise-client-urls', `${client}`],
      ...['--listen-peer-urls', `${peer}`, '--initial-advertise-peer-urls', `${peer}`],
      ...['--initial-cluster', `test=${peer}`],
    ]);
    await this.startApiServer();
  }

  #run(program: string, options: readonly string[]): void {
    const [command, ...args] = withParentDeathSignal([join(this.#bin, program), ...options]);
    const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    child.stderr.setEncoding('utf8').on('data', chunk => {
      this.#log = (this.#log + chunk).slice(-5_000);
    });
    this.#children.add(child);
  }

  async #isReady(): Promise<boolean> {
    for (const child of this.#children) {
      if (child.exitCode !== null) throw new Error(`${child.spawnfile} ended with ${child.exitCode}:\n${this.#log}`);
    }
    return this.kubectl(['get', '--raw', '/readyz']).then(
      answer => answer === 'ok',
      () => false,
    );
  }

  #kubeconfig(): string {
    const cluster = { server: this.server, 'certificate-authority': join(this.#directory, 'certs', 'apiserver.crt') };
    return JSON.stringify({
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'test', cluster }],
      users: [{ name: 'admin', user: { token: this.#token } }],
      contexts: [{ name: 'test', context: { cluster: 'test', user: 'admin' } }],
      'current-context': 'test',
    });
  }
}
