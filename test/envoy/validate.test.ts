import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { bootstrap } from '../../agent/envoy/bootstrap.ts';
import { deriveEnvoy } from '../../agent/envoy/derive.ts';
import { type SampleModel, sampleTable } from '../../agent/envoy/sample-table.fixture.ts';
import { envoyBinary } from '../../cli/setup/envoy-binary.ts';
import {
  AuthenticationMode,
  AuthenticationSchema,
  LimitSchema,
  LimitUnit,
  TlsVersion,
} from '../../proto/gen/fairlead/v1/table_pb.js';
import { Authority } from '../e2e/harness/certificates.ts';
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
  'pages of some origins': sampleTable(models(1), {
    corsAllowOrigins: ['https://a.example', 'https://*.a-b.example:8443', 'http://[::1]:3000'],
  }),
  'limits that callers are told of': sampleTable(models(1), {
    limits: [create(LimitSchema, { unit: LimitUnit.LIMIT_REQUESTS, amount: 1n, periodSeconds: 60 })],
  }),
  'pages of every origin': sampleTable(models(1), { corsAllowOrigins: ['*'] }),
};

for (const [name, table] of Object.entries(TABLES)) {
  test(`Envoy takes a table of ${name}`, () => validate(staticConfiguration(BOOTSTRAP, deriveEnvoy(table, SETTINGS))));
}

/** What a gateway asks its callers for: the tokens of issuers with their keys there, known by the authority in a Secret. */
function asking(
  mode: AuthenticationMode,
  ...urls: readonly (readonly [jwksUrl: string, secret?: string])[]
): MessageInitShape<typeof AuthenticationSchema> {
  return {
    mode,
    jwtIssuers: urls.map(([jwksUrl, secret], index) => ({
      name: `jwt-${index}`,
      issuer: `https://idp-${index}.example/`,
      jwksUrl,
      audiences: index === 0 ? [] : ['fairlead', 'https://gateway.example/'],
      ...(secret !== undefined && { ca: { secret, key: 'ca.crt' } }),
    })),
  };
}

const { AUTHENTICATION_NONE, AUTHENTICATION_API_KEYS, AUTHENTICATION_JWT, AUTHENTICATION_API_KEYS_OR_JWT } =
  AuthenticationMode;

const AUTHENTICATIONS = {
  none: asking(AUTHENTICATION_NONE),
  'API keys': asking(AUTHENTICATION_API_KEYS),
  'the tokens of one issuer': asking(AUTHENTICATION_JWT, ['https://idp.example/keys?tenant=a']),
  'API keys or the tokens of many issuers': asking(
    AUTHENTICATION_API_KEYS_OR_JWT,
    ['https://idp.example:8443/.well-known/jwks.json'],
    ['http://idp.ml.svc/keys'],
    ['https://10.0.0.1/keys', 'ml/ca'],
    ['http://[fd00::1]:8080/keys'],
    ['https://idp.example/keys', 'ml/ca'],
    ['https://idp.example/keys', 'ml/missing'],
  ),
};

for (const [name, authentication] of Object.entries(AUTHENTICATIONS)) {
  test(`Envoy takes a gateway that asks for ${name}`, async () => {
    const authority = new Authority();
    const secrets = { 'ml/ca': { 'ca.crt': authority.certificate } };
    authority.remove();
    const table = sampleTable(models(1), { authentication: create(AuthenticationSchema, authentication) }, secrets);
    await validate(staticConfiguration(BOOTSTRAP, deriveEnvoy(table, SETTINGS)));
  });
}

const P256 = ['-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256'];
const KEYS = {
  'ECDSA P-256': P256,
  'ECDSA P-384': ['-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-384'],
  'ECDSA P-521': ['-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-521'],
  'RSA of 2048 bits': ['-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:2048'],
};
/** The plan refuses them before Envoy would. */
const REFUSED_KEYS = {
  'RSA of 1024 bits': ['-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:1024'],
  'another curve': ['-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:secp256k1'],
};

function withTls(algorithm: readonly string[]): object {
  const authority = new Authority();
  const { certificate, key } = authority.issue({ algorithm });
  authority.remove();
  const listeners = [TlsVersion.TLS_VERSION_1_2, TlsVersion.TLS_VERSION_1_3].map((minVersion, index) => ({
    ...{ name: `https-${index}`, address: '127.0.0.1', port: 8443 + index, tls: { secret: 'ml/tls', minVersion } },
  }));
  const table = sampleTable({}, { listeners }, { 'ml/tls': { 'tls.crt': certificate, 'tls.key': key } });
  return staticConfiguration(BOOTSTRAP, deriveEnvoy(table, SETTINGS));
}

for (const [name, algorithm] of Object.entries(KEYS)) {
  test(`Envoy takes listeners with a certificate of ${name}`, () => validate(withTls(algorithm)));
}
for (const [name, algorithm] of Object.entries(REFUSED_KEYS)) {
  test(`Envoy refuses a certificate of ${name}`, () => assert.rejects(validate(withTls(algorithm))));
}

test('Envoy takes the bootstrap', () => validate(BOOTSTRAP));

test('Envoy refuses what is wrong: the validation is one', async () => {
  const configuration = staticConfiguration(BOOTSTRAP, deriveEnvoy(TABLES['no models'], SETTINGS));
  await assert.rejects(validate({ ...configuration, admin: { address: { socketAddress: { address: 'nowhere' } } } }));
});
