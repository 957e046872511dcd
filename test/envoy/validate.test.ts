import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { bootstrap } from '../../agent/envoy/bootstrap.ts';
import { deriveEnvoy } from '../../agent/envoy/derive.ts';
import { type SampleModel, sampleTable } from '../../agent/envoy/sample-table.fixture.ts';
import { envoyBinary } from '../../cli/setup/envoy-binary.ts';
import { staticConfiguration } from './static-configuration.ts';

const run = promisify(execFile);
let binary: string;
let directory: string;

before(async () => {
  binary = await envoyBinary(line => process.stderr.write(`${line}\n`));
  directory = await mkdtemp(join(tmpdir(), 'fairlead-validate-'));
});
after(() => rm(directory, { recursive: true, force: true }));

const BOOTSTRAP = bootstrap({
  nodeId: 'test',
  agentSocket: '/run/agent.sock',
  extprocSocket: '/run/extproc.sock',
  admin: '127.0.0.1:0',
  maxHeapBytes: 2 ** 30,
});
const SETTINGS = { accessLogPath: '/dev/null' };

async function validate(configuration: object): Promise<void> {
  const file = join(directory, `${crypto.randomUUID()}.json`);
  await writeFile(file, JSON.stringify(configuration));
  await run(binary, ['--mode', 'validate', '--config-path', file, '--log-level', 'error', '--disable-hot-restart']);
}

const ENDPOINTS = [
  ['10.0.0.7:8000', 'pod-0'],
  ['[fd00::7]:8000', 'pod-1'],
] as const;

const models = (count: number): Record<string, SampleModel> =>
  Object.fromEntries(
    Array.from({ length: count }, (_, index) => [
      `ml/model-${index}`,
      {
        timeouts: { connectMs: 1 + index, requestMs: index, headersMs: 2 * index, idleMs: 30 },
        backends: { a: ENDPOINTS },
      },
    ]),
  );

const TABLES = {
  'no models': sampleTable({}),
  'one model without endpoints': sampleTable({ 'ml/llama': { backends: { a: [] } } }),
  'IPv4 and IPv6 endpoints, one of them of two backends': sampleTable({
    'ml/llama': { backends: { a: ENDPOINTS, b: [...ENDPOINTS, ['10.0.0.8:8000', 'pod-2']] } },
  }),
  'forty models with as many timeouts': sampleTable(models(40)),
  'names with all that Kubernetes allows, pods with what it does not': sampleTable({
    [`${'n'.repeat(63)}/${'a'.repeat(240)}.v2`]: {
      backends: { a: [['10.0.0.7:8000', 'Ünïcode "pod" %REQ(x)% 100%']] },
    },
  }),
  'no timeouts at all': sampleTable({ 'ml/llama': { timeouts: {}, backends: { a: ENDPOINTS } } }),
  'several ports, any address, odd model headers': sampleTable(models(2), {
    listeners: [
      { name: 'http', address: '0.0.0.0', port: 8888 },
      { name: 'six', address: '::', port: 8889 },
    ],
    modelHeaders: ['X-MODEL', 'accept', 'authorization'],
    maxBodyBytes: 4_294_967_295,
  }),
};

for (const [name, table] of Object.entries(TABLES)) {
  test(`Envoy takes a table of ${name}`, () => validate(staticConfiguration(BOOTSTRAP, deriveEnvoy(table, SETTINGS))));
}

test('Envoy takes the bootstrap', () => validate(BOOTSTRAP));

test('Envoy refuses what is wrong: the validation is one', async () => {
  const configuration = staticConfiguration(BOOTSTRAP, deriveEnvoy(TABLES['no models'], SETTINGS));
  await assert.rejects(validate({ ...configuration, admin: { address: { socketAddress: { address: 'nowhere' } } } }));
});
