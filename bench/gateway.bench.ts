/**
 * What the gateway costs: CPU time a request of Envoy alone (one route, one cluster) and of the whole gateway, Envoy and
 * extproc, over the same trivial upstream in one run. CPU time from /proc hardly depends on what else the machine does.
 *
 *   node bench/gateway.bench.ts [seconds per measurement]
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { envoyBinary } from '../cli/setup/envoy-binary.ts';
import { freePorts } from '../test/e2e/harness/free-ports.ts';
import { Gateway, model } from '../test/e2e/harness/gateway.ts';
import { until } from '../test/e2e/harness/until.ts';
import { startUpstream } from './fixed-upstream.ts';
import { type Cost, cost } from './gateway-load.ts';

const CONNECTIONS = 32;
const SECONDS = Number(process.argv[2] ?? 4);

await main();

async function main(): Promise<void> {
  const { port, thread } = await startUpstream();
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
  await thread.terminate();
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
    return await cost({ url, promptBytes, connections: CONNECTIONS, seconds: SECONDS }, envoy.pid ?? 0);
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
    const url = `${gateway.url}/v1/chat/completions`;
    return await cost({ url, promptBytes, connections: CONNECTIONS, seconds: SECONDS }, envoy, extproc);
  } finally {
    await gateway.close();
  }
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
