import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { Agent } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { withParentDeathSignal } from '../../cli/process/parent-death.ts';
import type { ApiAccess } from '../../operator/api/api-access.ts';
import { freePorts } from '../e2e/harness/free-ports.ts';
import { until } from '../e2e/harness/until.ts';
import { GATEWAY_ADDRESS, preparePodNetwork } from './kubelet/pod-network.ts';

const START_TIMEOUT_MS = 60_000;

/** Of kube-controller-manager, what makes objects out of objects; what looks after nodes stays out. */
const CONTROLLERS = [
  ...['deployment', 'replicaset', 'daemonset', 'statefulset', 'job', 'disruption', 'endpointslice'],
  ...['serviceaccount', 'root-ca-certificate-publisher', 'garbage-collector', 'namespace'],
];

export interface ClusterOptions {
  /**
   * With the controllers and the scheduler too, reached by pods at the Service `kubernetes`: for kubelets to be added
   * (`kubelet/nodes.ts`). In the namespaces of `in-namespace.sh` only.
   */
  readonly controllers?: boolean;
}

/** A real kube-apiserver over a real etcd, with nothing in it; on loopback, or with controllers where pods reach it. */
export class Cluster {
  readonly #directory = mkdtempSync(join(tmpdir(), 'fairlead-kube-'));
  readonly #bin: string;
  readonly #token = randomBytes(16).toString('hex');
  readonly #ports: readonly number[];
  readonly #children = new Set<ChildProcess>();
  readonly #withControllers: boolean;
  readonly #address: string;
  #apiServer: ChildProcess | undefined;
  #log = '';

  private constructor(bin: string, ports: readonly number[], { controllers = false }: ClusterOptions) {
    this.#bin = bin;
    this.#ports = ports;
    this.#withControllers = controllers;
    this.#address = controllers ? GATEWAY_ADDRESS : '127.0.0.1';
  }

  /** A cluster that answers; to be stopped. Builds its programs where nobody has yet. */
  static async start(options: ClusterOptions = {}): Promise<Cluster> {
    if (options.controllers) preparePodNetwork();
    const bin = execFileSync(join(import.meta.dirname, 'build.sh'), {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const cluster = new Cluster(bin.trim(), await freePorts(5), options);
    try {
      await cluster.#start();
    } catch (error) {
      cluster.stop();
      throw error;
    }
    return cluster;
  }

  /** "https://127.0.0.1:port"; with controllers, at the address that pods see. */
  get server(): string {
    return `https://${this.#address}:${this.#ports[2]}`;
  }

  /** Of the cluster's files; gone when it ends. */
  get directory(): string {
    return this.#directory;
  }

  /** The API server as its administrator reaches it, over connections that are kept. */
  access(): ApiAccess {
    const agent = new Agent({ keepAlive: true, ca: readFileSync(this.#authority) });
    return {
      server: this.server,
      authorize: async options => {
        options.agent = agent;
        options.headers = { ...options.headers, authorization: `Bearer ${this.#token}` };
      },
    };
  }

  /** For an administrator. */
  get kubeconfig(): string {
    return join(this.#directory, 'kubeconfig');
  }

  /** What kubectl prints; rejects with what it says when it fails. */
  async kubectl(args: readonly string[], stdin = ''): Promise<string> {
    const running = promisify(execFile)(join(this.#bin, 'kubectl'), ['--kubeconfig', this.kubeconfig, ...args]);
    // One that ends before it has read everything says why by its exit code.
    running.child.stdin?.on('error', () => undefined).end(stdin);
    return (await running).stdout;
  }

  /** Takes the API server away, as in an outage; its data stays. */
  async stopApiServer(): Promise<void> {
    const child = this.#apiServer;
    child?.kill('SIGKILL');
    await until('the end of the API server', () => child?.exitCode !== null || child?.signalCode !== null);
    if (child) this.#children.delete(child);
  }

  /** And brings it back. */
  async startApiServer(): Promise<void> {
    const [etcd, , port] = this.#ports;
    const signing = join(this.#directory, 'sa.key');
    const controllers = this.#withControllers;
    this.#apiServer = this.#run('kube-apiserver', [
      `--etcd-servers=http://127.0.0.1:${etcd}`,
      `--bind-address=${this.#address}`,
      `--advertise-address=${this.#address}`,
      `--secure-port=${port}`,
      `--cert-dir=${join(this.#directory, 'certs')}`,
      `--token-auth-file=${join(this.#directory, 'tokens.csv')}`,
      '--authorization-mode=RBAC',
      `--service-account-issuer=${this.server}`,
      `--service-account-key-file=${signing}`,
      `--service-account-signing-key-file=${signing}`,
      '--service-cluster-ip-range=10.0.0.0/24',
      // With no controllers: it would complain for ever about its own loopback address.
      `--endpoint-reconciler-type=${controllers ? 'lease' : 'none'}`,
      // Nobody makes the default ServiceAccount, or else nobody unties a new Node's taint.
      `--disable-admission-plugins=${controllers ? 'TaintNodesByCondition' : 'ServiceAccount'}`,
    ]);
    await until(`the API server\n${this.#log}`, () => this.#isReady(), START_TIMEOUT_MS);
  }

  /** Has etcd forget all that was before: no list or watch that it is asked for can go on from there. */
  async compact(): Promise<void> {
    const ask = async (method: string, body: object) => {
      const url = `http://127.0.0.1:${this.#ports[0]}/v3/kv/${method}`;
      const response = await fetch(url, { method: 'POST', body: JSON.stringify(body) });
      const text = await response.text();
      if (!response.ok && !text.includes('required revision has been compacted')) throw new Error(`etcd: ${text}`);
      return JSON.parse(text) as { header?: { revision: string } };
    };
    const { header } = await ask('range', { key: btoa('any') });
    await ask('compaction', { revision: header?.revision, physical: true });
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
    if (this.#withControllers) await this.#startControllers();
  }

  async #startControllers(): Promise<void> {
    const [, , , managerPort, schedulerPort] = this.#ports;
    const common = (port: number | undefined) => [
      ...[`--kubeconfig=${this.kubeconfig}`, '--leader-elect=false', '--kube-api-qps=500', '--kube-api-burst=1000'],
      ...['--bind-address=127.0.0.1', `--secure-port=${port}`],
    ];
    this.#run('kube-controller-manager', [
      ...common(managerPort),
      `--controllers=${CONTROLLERS.map(name => `${name}-controller`).join()}`,
      `--service-account-private-key-file=${join(this.#directory, 'sa.key')}`,
      `--root-ca-file=${this.#authority}`,
    ]);
    this.#run('kube-scheduler', common(schedulerPort));
    const made = () =>
      this.kubectl(['get', 'serviceaccount/default', 'configmap/kube-root-ca.crt', 'service/kubernetes']);
    await until(`the controllers\n${this.#log}`, () => made().catch(() => undefined), START_TIMEOUT_MS);
  }

  #run(program: string, options: readonly string[]): ChildProcess {
    const [command, ...args] = withParentDeathSignal([join(this.#bin, program), ...options]);
    const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    child.stderr.setEncoding('utf8').on('data', chunk => {
      this.#log = (this.#log + chunk).slice(-5_000);
    });
    this.#children.add(child);
    return child;
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

  get #authority(): string {
    return join(this.#directory, 'certs', 'apiserver.crt');
  }

  #kubeconfig(): string {
    const cluster = { server: this.server, 'certificate-authority': this.#authority };
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
