/**
 * A big cluster: 1,000 ModelDeployments over 10,000 pods on a real API server, the operator as a process, one gateway
 * node with a real Envoy. How long from an apply, and from a pod's readiness, to the first 200 through Envoy (goal: p99
 * under 500 ms); what it costs the operator (goal: 150 MB), and how many bytes it pushes for a change.
 *
 *   node bench/kube-scale.bench.ts [models] [pods per model] [changes]
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { withParentDeathSignal } from '../cli/process/parent-death.ts';
import { ApiConnection, type ApiRequest, MERGE_PATCH } from '../operator/api/api-connection.ts';
import { type SimPod, startPod } from '../sim/pod.ts';
import { freePorts } from '../test/e2e/harness/free-ports.ts';
import { until } from '../test/e2e/harness/until.ts';
import { ApiObjects, modelDocument } from '../test/kube/api-objects.ts';
import { Cluster } from '../test/kube/cluster.ts';

const [MODELS = 1_000, PODS_PER_MODEL = 10, CHANGES = 100] = process.argv.slice(2).map(Number);
const NAMESPACE = 'ml';
const WRITERS = 32;
/** How often a client asks for what is not there yet: what is measured is this late at most. */
const ASK_INTERVAL_MS = 3;
/** /proc/<pid>/stat counts in clock ticks of 10 ms on every Linux that Node runs on. */
const MS_PER_TICK = 10;
/** Nothing to do for so long: what was changed has been done everywhere. */
const QUIET_MS = 1_500;
const FAIRLEAD = join(import.meta.dirname, '..', 'cli', 'bin', 'fairlead');
/**
 * As the chart and the image run it. Under the chart's memory limit of 512 MiB Node takes these sizes by itself, half of
 * the limit for the old space; here is no limit.
 */
const OPERATOR_ENV = { MALLOC_ARENA_MAX: '1', NODE_OPTIONS: '--max-old-space-size=256 --max-semi-space-size=1' };
/** Only where this may be mounted does the operator run as in a pod: without the client library, which is large. */
const IN_POD = process.geteuid?.() === 0;

const base = mkdtempSync(join(tmpdir(), 'fairlead-bench-'));
const cluster = await Cluster.start();
const children: ChildProcess[] = [];
const sockets = { operator: join(base, 'operator.sock'), counted: join(base, 'counted.sock') };
const runDir = join(base, 'run');
const api = new ApiConnection(cluster.access());
let pod: SimPod | undefined;
let counter: Server | undefined;
let pushedBytes = 0;

try {
  await main();
} finally {
  for (const child of children) child.kill('SIGKILL');
  counter?.close();
  await pod?.close();
  cluster.stop();
  rmSync(base, { recursive: true, force: true, maxRetries: 5 });
}
process.exit();

async function main(): Promise<void> {
  const [port = 0, adminPort = 0] = await freePorts(2);
  pod = await startPod({ name: 'sim', models: ['m'], timeScale: 100 });
  await new ApiObjects(cluster).prepare(NAMESPACE);
  await fill(port, adminPort);

  compileAsImage();
  const startedMs = performance.now();
  counter = await countBytes();
  const operator = await startOperator();
  const extproc = start(FAIRLEAD, ['extproc', '--control-plane', `unix:${sockets.counted}`, '--run-dir', runDir]);
  const envoy = start(FAIRLEAD, ['envoy', '--run-dir', runDir, '--concurrency', '1']);
  const gateway = `http://127.0.0.1:${port}`;
  await until('the gateway', () => isServed(gateway, `acme/model-${MODELS - 1}`, [200, 503, 504]), 120_000);
  const startMs = performance.now() - startedMs;
  const coldBytes = pushedBytes;
  const processes = { operator, extproc, envoy };
  await untilQuiet(processes);
  const cold = usageOf(processes);

  const applied: Change[] = [];
  for (let i = 0; i < CHANGES; i++) {
    const document = model(`fresh-${i}`);
    const path = '/apis/fairlead.dev/v1alpha1/namespaces/ml/modeldeployments';
    applied.push(await measure(gateway, `acme/fresh-${i}`, { method: 'POST', path, body: document }));
  }
  await untilQuiet(processes);
  const afterApplies = usageOf(processes);

  const ready: Change[] = [];
  for (let i = 0; i < CHANGES; i++) {
    await write(readiness(`fresh-${i}`, '127.0.0.1', false));
    await until('no endpoint', () => isServed(gateway, `acme/fresh-${i}`, [503]));
    ready.push(await measure(gateway, `acme/fresh-${i}`, readiness(`fresh-${i}`, '127.0.0.1', true)));
  }
  await untilQuiet(processes);
  const afterReady = usageOf(processes);

  console.log(`${MODELS} ModelDeployments, ${MODELS * PODS_PER_MODEL} pods, ${CHANGES} changes of each kind`);
  console.log(
    `from the start of all processes to a served gateway: ${startMs.toFixed(0)} ms, ${coldBytes} bytes pushed`,
  );
  console.table([changeRow('ModelDeployment applied → first 200', applied), changeRow('pod Ready → first 200', ready)]);
  const names = ['operator', 'extproc', 'envoy'] as const;
  console.table(
    names.map(name => ({
      process: name === 'operator' && !IN_POD ? 'operator (with the client library: not root)' : name,
      'CPU s at start': (cold[name].cpuMs / 1000).toFixed(2),
      'CPU ms an apply': ((afterApplies[name].cpuMs - cold[name].cpuMs) / CHANGES).toFixed(1),
      // It went away and came back.
      'CPU ms two readiness changes': ((afterReady[name].cpuMs - afterApplies[name].cpuMs) / CHANGES).toFixed(1),
      'RSS MB': afterReady[name].rssMb.toFixed(0),
      'peak MB': afterReady[name].peakMb.toFixed(0),
    })),
  );
}

/** All that is there before the operator starts. */
async function fill(port: number, adminPort: number): Promise<void> {
  const own = { apiVersion: 'fairlead.dev/v1alpha1', kind: 'InferenceGateway', metadata: { name: 'default' } };
  const listeners = [{ name: 'http', port, address: '127.0.0.1' }];
  const spec = { listeners, admin: { port: adminPort, address: '127.0.0.1' } };
  const path = '/apis/fairlead.dev/v1alpha1/namespaces/ml/inferencegateways';
  await write({ method: 'POST', path, body: { ...own, spec } });
  const tasks: (() => Promise<void>)[] = [];
  const models = '/apis/fairlead.dev/v1alpha1/namespaces/ml/modeldeployments';
  for (let i = 0; i < MODELS; i++) {
    tasks.push(() => write({ method: 'POST', path: models, body: model(`model-${i}`) }));
    for (let j = 0; j < PODS_PER_MODEL; j++) {
      const at = i * PODS_PER_MODEL + j;
      tasks.push(() => writePod(`model-${i}-${j}`, `model-${i}`, `10.244.${at >> 8}.${at & 255}`));
    }
  }
  for (let i = 0; i < CHANGES; i++) tasks.push(() => writePod(`fresh-${i}`, `fresh-${i}`, '127.0.0.1'));
  const writers = Array.from({ length: WRITERS }, async () => {
    for (let task = tasks.pop(); task; task = tasks.pop()) await task();
  });
  await Promise.all(writers);
}

function model(name: string) {
  const pods = { selector: { matchLabels: { app: name } }, port: pod?.port };
  const backends = [{ name: 'gpu', runtime: 'vllm', model: 'm', pods }];
  return modelDocument(NAMESPACE, name, { model: `acme/${name}`, backends });
}

async function writePod(name: string, app: string, ip: string): Promise<void> {
  const containers = [{ name: 'vllm', image: 'vllm', ports: [{ containerPort: pod?.port }] }];
  const labels = { app, 'pod-template-hash': '5d9c7b8f6', 'app.kubernetes.io/part-of': 'models' };
  const body = { metadata: { name, labels }, spec: { nodeName: 'node', containers } };
  await write({ method: 'POST', path: `/api/v1/namespaces/${NAMESPACE}/pods`, body });
  await write(readiness(name, ip, true));
}

function readiness(name: string, ip: string, isReady: boolean): ApiRequest {
  const conditions = [{ type: 'Ready', status: isReady ? 'True' : 'False' }];
  const path = `/api/v1/namespaces/${NAMESPACE}/pods/${name}/status`;
  const body = { status: { phase: 'Running', podIP: ip, podIPs: [{ ip }], conditions } };
  return { method: 'PATCH', path, body, contentType: MERGE_PATCH };
}

async function write(request: ApiRequest): Promise<void> {
  const { failure } = await api.send(request, AbortSignal.timeout(60_000));
  if (failure) throw new Error(`${request.method} ${request.path}: ${JSON.stringify(failure)}`);
}

interface Change {
  readonly ms: number;
  readonly bytes: number;
}

/** From before the write to the first 200. */
async function measure(gateway: string, name: string, request: ApiRequest): Promise<Change> {
  const bytesBefore = pushedBytes;
  const startedMs = performance.now();
  const written = write(request);
  while (!(await isServed(gateway, name, [200]))) await new Promise(resolve => setTimeout(resolve, ASK_INTERVAL_MS));
  const ms = performance.now() - startedMs;
  await written;
  return { ms, bytes: pushedBytes - bytesBefore };
}

async function isServed(gateway: string, name: string, statuses: readonly number[]): Promise<boolean> {
  const response = await fetch(`${gateway}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: name, messages: [{ role: 'user', content: 'Hi' }], max_tokens: 1 }),
    signal: AbortSignal.timeout(2_000),
  }).catch(() => undefined);
  await response?.arrayBuffer();
  return response !== undefined && statuses.includes(response.status);
}

/** A socket before the operator's, by which the agent reaches it. */
async function countBytes(): Promise<Server> {
  const server = createServer(agent => {
    const upstream = connect(sockets.operator);
    upstream.on('data', chunk => {
      pushedBytes += chunk.length;
    });
    agent.pipe(upstream).pipe(agent);
    for (const socket of [agent, upstream]) {
      socket.on('error', () => undefined);
      socket.on('close', () => [agent, upstream].map(each => each.destroy()));
    }
  });
  await new Promise<void>(resolve => server.listen(sockets.counted, resolve));
  return server;
}

async function startOperator(): Promise<ChildProcess> {
  const args = ['operator', '--listen', `unix:${sockets.operator}`, '--namespace', NAMESPACE];
  if (!IN_POD) {
    process.env.KUBECONFIG = cluster.kubeconfig;
    return start(FAIRLEAD, args, OPERATOR_ENV);
  }
  const files = await serviceAccount();
  const { hostname, port } = new URL(cluster.server);
  Object.assign(process.env, { KUBERNETES_SERVICE_HOST: hostname, KUBERNETES_SERVICE_PORT: port });
  delete process.env.KUBECONFIG;
  const directory = '/run/secrets/kubernetes.io/serviceaccount';
  const mount = `mount -t tmpfs tmpfs /run && mkdir -p ${directory} && cp "$0"/* ${directory} && exec "$@"`;
  const unshare = ['--mount', '--propagation', 'private', 'sh', '-c', mount, files, FAIRLEAD, ...args];
  return start('unshare', unshare, OPERATOR_ENV);
}

/** What a pod finds of its ServiceAccount, in a directory. */
async function serviceAccount(): Promise<string> {
  const name = 'operator';
  await cluster.kubectl(['create', 'serviceaccount', name, '-n', NAMESPACE]);
  const user = ['--clusterrole=cluster-admin', `--serviceaccount=${NAMESPACE}:${name}`];
  await cluster.kubectl(['create', 'clusterrolebinding', name, ...user]);
  const token = await cluster.kubectl(['create', 'token', name, '-n', NAMESPACE, '--duration=2h']);
  const files = mkdtempSync(join(base, 'account-'));
  writeFileSync(join(files, 'token'), token);
  writeFileSync(join(files, 'ca.crt'), readFileSync(join(cluster.directory, 'certs', 'apiserver.crt')));
  return files;
}

/** Leaves what the Dockerfile leaves in the image, for all processes. */
function compileAsImage(): void {
  process.env.NODE_COMPILE_CACHE = join(base, 'compile-cache');
  const compile = fileURLToPath(new URL('../cli/setup/compile-cache.ts', import.meta.url));
  execFileSync(process.execPath, [compile]);
  execFileSync(FAIRLEAD, ['--version']);
}

/** Programs that replace themselves by what they start: the process id stays. */
function start(program: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): ChildProcess {
  const [command, ...rest] = withParentDeathSignal([program, ...args]);
  const child = spawn(command, rest, { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, ...env } });
  let last = '';
  child.stderr.setEncoding('utf8').on('data', chunk => {
    last = (last + chunk).slice(-2_000);
  });
  child.once('exit', code => {
    if (code !== null) console.error(`${args.join(' ')} ended with ${code}:\n${last}`);
  });
  children.push(child);
  return child;
}

interface Usage {
  readonly cpuMs: number;
  readonly rssMb: number;
  readonly peakMb: number;
}

function usageOf<Name extends string>(processes: Readonly<Record<Name, ChildProcess>>): Record<Name, Usage> {
  const entries = Object.entries<ChildProcess>(processes).map(([name, child]) => [name, usage(child.pid ?? 0)]);
  return Object.fromEntries(entries) as Record<Name, Usage>;
}

/** proc_pid_stat(5), fields 14 and 15; proc_pid_status(5). */
function usage(pid: number): Usage {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const megabytes = (field: string) => Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? 0) / 1024;
  return {
    cpuMs: (Number(fields[11]) + Number(fields[12])) * MS_PER_TICK,
    rssMb: megabytes('VmRSS'),
    peakMb: megabytes('VmHWM'),
  };
}

/** Resolves when none of them uses more than a little of a CPU. */
async function untilQuiet(processes: Readonly<Record<string, ChildProcess>>): Promise<void> {
  const busy = () => Object.values(usageOf(processes)).reduce((sum, { cpuMs }) => sum + cpuMs, 0);
  for (let before = busy(), now = Number.POSITIVE_INFINITY; now - before > QUIET_MS / 10; ) {
    before = busy();
    await new Promise(resolve => setTimeout(resolve, QUIET_MS));
    now = busy();
  }
}

function changeRow(change: string, changes: readonly Change[]) {
  const sorted = (of: (one: Change) => number) => changes.map(of).sort((a, b) => a - b);
  const at = (values: readonly number[], share: number) => values[Math.ceil(values.length * share) - 1] ?? Number.NaN;
  const ms = sorted(one => one.ms);
  return {
    change,
    'p50 ms': at(ms, 0.5).toFixed(0),
    'p99 ms': at(ms, 0.99).toFixed(0),
    'worst ms': at(ms, 1).toFixed(0),
    'bytes pushed, median': at(
      sorted(one => one.bytes),
      0.5,
    ),
  };
}
