/**
 * What the gateway costs: CPU time a request of Envoy alone (one route, one cluster) and of the whole gateway, Envoy and
 * extproc, over the same trivial upstream in one run. CPU time from /proc hardly depends on what else the machine does.
 *
 *   node bench/gateway.bench.ts [seconds per measurement]
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isMainThread, parentPort, Worker } from 'node:worker_threads';
import { envoyBinary } from '../cli/setup/envoy-binary.ts';
import { freePorts } from '../test/e2e/harness/free-ports.ts';
import { Gateway, model } from '../test/e2e/harness/gateway.ts';
import { until } from '../test/e2e/harness/until.ts';

const CONNECTIONS = 32;
const SECONDS = Number(process.argv[2] ?? 4);
/** /proc/<pid>/stat counts in clock ticks of 10 ms on every Linux that Node runs on. */
const US_PER_TICK = 10_000;

const ANSWER = JSON.stringify({
  id: 'chatcmpl-1',
  object: 'chat.completion',
  model: 'm',
  choices: [{ index: 0, message: { role: 'assistant', content: 'a'.repeat(600) }, finish_reason: 'stop' }],
  usage: { prompt_tokens: 200, completion_tokens: 100, total_tokens: 300 },
});

if (isMainThread) await main();
else serveUpstream();

/** Answers every request alike, in a thread of its own. */
function serveUpstream(): void {
  const server = createServer((incoming, response) => {
    incoming.resume();
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': ANSWER.length });
    response.end(ANSWER);
  });
  server.listen(0, '127.0.0.1', () => parentPort?.postMessage((server.address() as AddressInfo).port));
}

async function main(): Promise<void> {
  const upstream = new Worker(new URL(import.meta.url));
  const [port] = (await once(upstream, 'message')) as [number];
  const rows: Row[] = [];
  for (const promptBytes of [1_000, 100_000]) {
    const plain = await measureEnvoy(port, promptBytes);
    const gateway = await measureGateway(port, promptBytes);
    const bytes = `${promptBytes / 1000} KB`;
    rows.push({ setup: `${bytes}: Envoy alone`, ...plain, ratio: '1.0' });
    const ratio = ((gateway['Envoy µs'] + gateway['extproc µs']) / plain['Envoy µs']).toFixed(1);
    rows.push({ setup: `${bytes}: Envoy + ext_proc`, ...gateway, ratio });
  }
  console.table(rows);
  await upstream.terminate();
}

interface Cost {
  readonly requests: number;
  readonly 'Envoy µs': number;
  readonly 'extproc µs': number;
}

interface Row extends Cost {
  readonly setup: string;
  /** CPU of Envoy and extproc a request, to that of Envoy alone. */
  readonly ratio: string;
}

async function measureEnvoy(upstreamPort: number, promptBytes: number): Promise<Cost> {
  const directory = mkdtempSync(join(tmpdir(), 'fairlead-bench-'));
  const [port = 0] = await freePorts(1);
  const file = join(directory, 'envoy.json');
  writeFileSync(file, JSON.stringify(plainConfiguration(port, upstreamPort)));
  const binary = await envoyBinary(console.error);
  const args = ['--config-path', file, '--concurrency', '1', '--disable-hot-restart', '--log-level', 'error'];
  const envoy = spawn(binary, args, { stdio: 'ignore' });
  try {
    const url = `http://127.0.0.1:${port}/v1/chat/completions`;
    await until('Envoy', () =>
      fetch(url).then(
        response => response.ok,
        () => false,
      ),
    );
    return await cost(url, promptBytes, envoy.pid ?? 0);
  } finally {
    envoy.kill();
    await once(envoy, 'exit');
    rmSync(directory, { recursive: true });
  }
}

async function measureGateway(upstreamPort: number, promptBytes: number): Promise<Cost> {
  const gateway = await Gateway.start({ resources: [model('m', [`127.0.0.1:${upstreamPort}`], { model: 'm' })] });
  try {
    const { envoy, extproc } = gateway.children();
    return await cost(`${gateway.url}/v1/chat/completions`, promptBytes, envoy, extproc);
  } finally {
    await gateway.close();
  }
}

/** Loads `url` for some seconds and divides the CPU time of the processes by the requests. */
async function cost(url: string, promptBytes: number, envoy: number, extproc?: number): Promise<Cost> {
  const body = JSON.stringify({ model: 'm', messages: [{ role: 'user', content: 'x'.repeat(promptBytes) }] });
  await load(url, body, 1);
  const before = [cpuUs(envoy), extproc === undefined ? 0 : cpuUs(extproc)] as const;
  const requests = await load(url, body, SECONDS);
  const perRequest = (pid: number | undefined, start: number) =>
    pid === undefined ? 0 : Math.round((cpuUs(pid) - start) / requests);
  return { requests, 'Envoy µs': perRequest(envoy, before[0]), 'extproc µs': perRequest(extproc, before[1]) };
}

async function load(url: string, body: string, seconds: number): Promise<number> {
  const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });
  const endMs = performance.now() + seconds * 1000;
  let requests = 0;
  const client = async () => {
    while (performance.now() < endMs) {
      await post(url, body, agent);
      requests++;
    }
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, client));
  agent.destroy();
  return requests;
}

function post(url: string, body: string, agent: Agent): Promise<void> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json', 'content-length': body.length };
    const outgoing = request(url, { method: 'POST', agent, headers }, response => {
      if (response.statusCode !== 200) reject(new Error(`answered ${response.statusCode}`));
      response.resume().on('end', resolve);
    });
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}

/** CPU time of a process so far, user and system. */
function cpuUs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * US_PER_TICK;
}

/** Envoy as a plain proxy. */
function plainConfiguration(port: number, upstreamPort: number): object {
  const any = (name: string) => `type.googleapis.com/envoy.extensions.filters.${name}`;
  const address = (portValue: number) => ({ socketAddress: { address: '127.0.0.1', portValue } });
  const route = { match: { prefix: '/' }, route: { cluster: 'upstream' } };
  const connectionManager = {
    '@type': any('network.http_connection_manager.v3.HttpConnectionManager'),
    statPrefix: 'plain',
    routeConfig: { virtualHosts: [{ name: 'all', domains: ['*'], routes: [route] }] },
    httpFilters: [{ name: 'router', typedConfig: { '@type': any('http.router.v3.Router') } }],
  };
  const filterChain = { filters: [{ name: 'http', typedConfig: connectionManager }] };
  const endpoints = [{ lbEndpoints: [{ endpoint: { address: address(upstreamPort) } }] }];
  return {
    staticResources: {
      listeners: [{ name: 'plain', address: address(port), filterChains: [filterChain] }],
      clusters: [{ name: 'upstream', type: 'STATIC', loadAssignment: { clusterName: 'upstream', endpoints } }],
    },
  };
}
