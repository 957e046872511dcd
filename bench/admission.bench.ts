/**
 * What identity and limits cost: CPU time a request, and time added, of the gateway with none of them, with API keys, with
 * keys, four limits and a budget counted in memory, and with the same in a Valkey next to it, over the same trivial
 * upstream in one run.
 *
 *   node bench/admission.bench.ts [seconds per measurement]
 */
import { randomBytes } from 'node:crypto';
import { digestOf, newApiKey } from '../extproc/identity/api-key.ts';
import { Gateway, type Manifest, model } from '../test/e2e/harness/gateway.ts';
import { ValkeyServer } from '../test/store/valkey-server.ts';
import { startUpstream } from './fixed-upstream.ts';
import { type Cost, cost } from './gateway-load.ts';

const SECONDS = Number(process.argv[2] ?? 4);
const PROMPT_BYTES = 1_000;
/** One at a time, the answers' times tell what admission adds; many at a time, CPU time tells what it costs. */
const ONE = 1;
const MANY = 32;

const KEY = newApiKey(randomBytes(32));
const PRICING = { currency: 'EUR', promptPerMillion: '0.10', completionPerMillion: '0.30' };
const LIMITS = [
  { requests: 1_000_000_000, per: 'minute' },
  { tokens: 1_000_000_000_000, per: 'minute' },
  { outputTokens: 1_000_000_000_000, per: 'day', model: 'm' },
  { concurrency: 10_000 },
];
const BUDGET = { amount: '1000000', currency: 'EUR', period: 'month' };

await main();

async function main(): Promise<void> {
  const upstream = await startUpstream();
  const valkey = await ValkeyServer.start();
  const keys = { authentication: { mode: 'apiKeys' } };
  const shared = { store: 'valkey', timeout: '1s', valkey: { url: valkey.url } };
  const setups: readonly [string, Readonly<Record<string, unknown>>, readonly Manifest[]][] = [
    ['nothing', {}, []],
    ['API keys', keys, [consumer({})]],
    ['+ 4 limits and a budget in memory', keys, [consumer({ limits: LIMITS, budget: BUDGET })]],
    ['+ the same in Valkey', { ...keys, limits: shared }, [consumer({ limits: LIMITS, budget: BUDGET })]],
  ];
  const rows: Row[] = [];
  for (const [setup, gateway, consumers] of setups) {
    rows.push({ setup, ...(await measure(upstream.port, gateway, consumers)) });
  }
  const total = (row: Cost) => row['Envoy µs'] + row['extproc µs'];
  const [first] = rows;
  console.table(
    rows.map(row => ({
      ...row,
      'CPU ratio': first && (total(row) / total(first)).toFixed(2),
      'added p50 ms': first && (row.p50 - first.p50).toFixed(2),
      'added p99 ms': first && (row.p99 - first.p99).toFixed(2),
    })),
  );
  valkey.stop();
  await upstream.thread.terminate();
}

interface Row extends Cost {
  readonly setup: string;
}

async function measure(
  port: number,
  gatewaySpec: Readonly<Record<string, unknown>>,
  consumers: readonly Manifest[],
): Promise<Cost> {
  const served = model('m', [`127.0.0.1:${port}`], { model: 'm', pricing: PRICING });
  const gateway = await Gateway.start({ gateway: gatewaySpec, resources: [served, ...consumers] });
  try {
    const { envoy, extproc } = gateway.children();
    const url = `${gateway.url}/v1/chat/completions`;
    const load = { url, promptBytes: PROMPT_BYTES, headers: { authorization: `Bearer ${KEY}` }, seconds: SECONDS };
    const { p50, p99 } = await cost({ ...load, connections: ONE }, envoy, extproc);
    return { ...(await cost({ ...load, connections: MANY }, envoy, extproc)), p50, p99 };
  } finally {
    await gateway.close();
  }
}

function consumer(spec: object): Manifest {
  return {
    apiVersion: 'fairlead.dev/v1alpha1',
    kind: 'Consumer',
    metadata: { name: 'bench' },
    spec: { apiKeys: [{ sha256: digestOf(KEY) }], ...spec },
  };
}
