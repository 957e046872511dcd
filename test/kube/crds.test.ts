import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { customResourceDefinitions } from '../../crds/custom-resource-definition.ts';
import { readResource } from '../../crds/read-resource.ts';
import { Cluster } from './cluster.ts';

type Fields = Readonly<Record<string, unknown>>;

const BACKEND = { name: 'a', endpoints: ['10.0.0.1:8000'] };

function modelDeployment(spec: Fields): Fields {
  return {
    apiVersion: 'fairlead.dev/v1alpha1',
    kind: 'ModelDeployment',
    metadata: { name: 'm' },
    spec: { backends: [BACKEND], ...spec },
  };
}

function inferenceGateway(spec: Fields): Fields {
  return { apiVersion: 'fairlead.dev/v1alpha1', kind: 'InferenceGateway', metadata: { name: 'g' }, spec };
}

function consumer(spec: Fields): Fields {
  return { apiVersion: 'fairlead.dev/v1alpha1', kind: 'Consumer', metadata: { name: 'alice' }, spec };
}

const DIGEST = 'a1'.repeat(32);
const KEY = 'fl-Zm9yLXRlc3RzLW9ubHktbm90LWEta2V5LWF0LWFsbA';
const ISSUER = { issuer: 'https://id.example', jwksUrl: 'https://id.example/jwks.json' };

/** What nobody may declare, in a file or in a cluster, and what the API server says of it. */
const WRONG: readonly [what: string, document: Fields, said: RegExp][] = [
  ['no backend', modelDeployment({ backends: [] }), /at least 1 items/],
  ['neither pods nor endpoints', modelDeployment({ backends: [{ name: 'a' }] }), /needs either pods or endpoints/],
  [
    'pods and endpoints',
    modelDeployment({ backends: [{ ...BACKEND, pods: { selector: { matchLabels: { a: 'b' } }, port: 1 } }] }),
    /needs either pods or endpoints/,
  ],
  ['two backends of one name', modelDeployment({ backends: [BACKEND, BACKEND] }), /Duplicate value/],
  [
    'weights on some',
    modelDeployment({
      backends: [
        { ...BACKEND, weight: 1 },
        { ...BACKEND, name: 'b' },
      ],
    }),
    /must all have a weight, or none/,
  ],
  ['only zero weights', modelDeployment({ backends: [{ ...BACKEND, weight: 0 }] }), /at least one must have more/],
  ['one user twice', consumer({ userHeader: 'a', users: ['b', 'a'] }), /repeats userHeader/],
  ['a space before the user', consumer({ userHeader: ' a' }), /begin or end with a space/],
  [
    'a Secret twice',
    consumer({ apiKeys: [{ secretRef: { name: 'a' } }, { secretRef: { name: 'a', key: 'api-key' } }] }),
    /two keys have one secretRef/,
  ],
  [
    'an end without a zone',
    consumer({ apiKeys: [{ sha256: DIGEST, expires: '2027-01-01T00:00:00' }] }),
    /should match/,
  ],
  [
    'too many claims',
    consumer({
      jwt: [{ issuer: 'a', claims: Object.fromEntries(Array.from({ length: 17 }, (_, i) => [`c${i}`, 'x'])) }],
    }),
    /at most 16 claims/,
  ],
  [
    'a limit of another wildcard',
    consumer({ limits: [{ requests: 1, per: 'minute', models: ['a?'] }] }),
    /the only wildcard is \*/,
  ],
  [
    'a limit of another wildcard, over all callers',
    inferenceGateway({ limits: { rules: [{ requests: 1, per: 'minute', model: 'a?' }] } }),
    /the only wildcard is \*/,
  ],
  ['an @ in the id', modelDeployment({ model: 'a@b' }), /may not contain @/],
  ['an @ in an alias', modelDeployment({ aliases: ['a@b'] }), /may not contain @/],
  ['a space around the id', modelDeployment({ model: ' a' }), /begin or end with a space/],
  ['an alias twice', modelDeployment({ aliases: ['a', 'a'] }), /Duplicate value/],
  ['an alias that is the id', modelDeployment({ model: 'a', aliases: ['a'] }), /repeats the id/],
  ['an endpoint without port', modelDeployment({ backends: [{ name: 'a', endpoints: ['gpu'] }] }), /should match/],
  ['a strategy that is none', modelDeployment({ routing: { strategy: 'best' } }), /Unsupported value: "best"/],
  ['a type that is none', modelDeployment({ type: 'chat' }), /Unsupported value: "chat"/],
  ['a duration of nothing', modelDeployment({ timeouts: { idle: '0s' } }), /from 1ms to 24h/],
  ['a duration of days', modelDeployment({ timeouts: { request: '25h' } }), /from 1ms to 24h/],
  ['a duration that is a number', modelDeployment({ timeouts: { request: 5 } }), /must be of type string/],
  ['three retries', modelDeployment({ retries: { attempts: 3 } }), /less than or equal to 2/],
  [
    'two listeners on a port',
    inferenceGateway({
      listeners: [
        { name: 'a', port: 1 },
        { name: 'b', port: 1 },
      ],
    }),
    /one port/,
  ],
  ['the port of admin', inferenceGateway({ listeners: [{ name: 'a', port: 8889 }] }), /port of admin/],
  ['an address that is a name', inferenceGateway({ admin: { address: 'localhost' } }), /expected an IP address/],
  [
    'TLS of no secret',
    inferenceGateway({ listeners: [{ name: 'a', port: 1, tls: { secretRef: {} } }] }),
    /secretRef.name: Required value/,
  ],
  [
    'an old version of TLS',
    inferenceGateway({ listeners: [{ name: 'a', port: 1, tls: { secretRef: { name: 'a' }, minVersion: '1.1' } }] }),
    /Unsupported value: "1.1"/,
  ],
  ['an origin with a path', inferenceGateway({ cors: { allowOrigins: ['https://a.example/'] } }), /without a path/],
  ['an origin in capitals', inferenceGateway({ cors: { allowOrigins: ['https://A.example'] } }), /in lower case/],
  ['a wildcard inside', inferenceGateway({ cors: { allowOrigins: ['https://a.*.example'] } }), /expected an origin/],
  ['a wildcard for a country', inferenceGateway({ cors: { allowOrigins: ['https://*.uk'] } }), /expected an origin/],
  ['an origin with its usual port', inferenceGateway({ cors: { allowOrigins: ['https://a.b:443'] } }), /usual port/],
  [
    'all origins and another',
    inferenceGateway({ cors: { allowOrigins: ['*', 'https://a.b'] } }),
    /leave the others out/,
  ],
  ['an origin twice', inferenceGateway({ cors: { allowOrigins: ['https://a.b', 'https://a.b'] } }), /Duplicate value/],
  ['a port that is none', inferenceGateway({ admin: { port: 0 } }), /greater than or equal to 1/],
  ['tokens of nobody', inferenceGateway({ authentication: { mode: 'jwt' } }), /need at least one issuer/],
  ['tokens that nobody takes', inferenceGateway({ authentication: { jwt: [ISSUER] } }), /the others take none/],
  ['an issuer twice', inferenceGateway({ authentication: { mode: 'jwt', jwt: [ISSUER, ISSUER] } }), /Duplicate value/],
  [
    'a password for the keys of an issuer',
    inferenceGateway({ authentication: { mode: 'jwt', jwt: [{ ...ISSUER, jwksUrl: 'https://u:p@id.example/' }] } }),
    /without a user or a password/,
  ],
  [
    'limits of callers whom nobody can be',
    inferenceGateway({ authentication: { mode: 'apiKeys' }, anonymous: { limits: [] } }),
    /nobody is anonymous/,
  ],
  ['a Valkey of no address', inferenceGateway({ limits: { store: 'valkey' } }), /needs valkey with its url/],
  [
    'a Valkey that nothing is counted in',
    inferenceGateway({ limits: { valkey: { url: 'valkey://v' } } }),
    /the store memory has none/,
  ],
  [
    'a password in the address of a Valkey',
    inferenceGateway({ limits: { store: 'valkey', valkey: { url: 'valkey://:secret@v:6379' } } }),
    /without a user or a password/,
  ],
  [
    'an authority without TLS',
    inferenceGateway({ limits: { store: 'valkey', valkey: { url: 'redis://v', ca: { secretRef: { name: 'a' } } } } }),
    /of no use without TLS/,
  ],
  ['a store that is waited for', inferenceGateway({ limits: { timeout: '1m' } }), /from 1ms to 2s/],
  ['a rule of nothing', inferenceGateway({ limits: { rules: [{ per: 'day' }] } }), /exactly one of requests/],
  [
    'an anonymous limit of two',
    inferenceGateway({ anonymous: { limits: [{ requests: 1, tokens: 1, per: 'day' }] } }),
    /exactly one/,
  ],
  [
    'a limit of another model',
    modelDeployment({ limits: [{ requests: 1, per: 'day', model: 'x' }] }),
    /is about that model/,
  ],
  [
    'a price that is a number',
    modelDeployment({ pricing: { currency: 'EUR', perImage: 1 } }),
    /must be of type string/,
  ],
  ['a price too fine', modelDeployment({ pricing: { currency: 'EUR', perImage: '0.0000001' } }), /should match/],
  ['a price too high', modelDeployment({ pricing: { currency: 'EUR', perImage: '9000000.1' } }), /at most 9000000/],
  ['no price', modelDeployment({ pricing: { currency: 'EUR' } }), /names no price/],
  ['a currency in words', modelDeployment({ pricing: { currency: 'Euro', perImage: '1' } }), /should match/],
  ['a key of nothing', consumer({ apiKeys: [{ name: 'a' }] }), /needs either sha256 or secretRef/],
  [
    'a key of both',
    consumer({ apiKeys: [{ sha256: DIGEST, secretRef: { name: 'a' } }] }),
    /needs either sha256 or secretRef/,
  ],
  ['a digest twice', consumer({ apiKeys: [{ sha256: DIGEST }, { sha256: DIGEST }] }), /two keys have one sha256/],
  ['an end that is no time', consumer({ apiKeys: [{ sha256: DIGEST, expires: 'soon' }] }), /date-time/],
  ['tokens of everybody', consumer({ jwt: [{ issuer: 'https://a' }] }), /every token of the issuer would fit/],
  ['tokens of two subjects', consumer({ jwt: [{ issuer: 'a', subject: 'x', claims: { sub: 'y' } }] }), /one must go/],
  ['a model between spaces', consumer({ models: [' a'] }), /begin or end with a space/],
  ['another wildcard', consumer({ models: ['a?'] }), /the only wildcard is \*/],
  ['a limit without a period', consumer({ limits: [{ requests: 1 }] }), /needs per/],
  ['concurrency by the hour', consumer({ limits: [{ concurrency: 1, per: 'hour' }] }), /has none/],
  ['a limit below zero', consumer({ limits: [{ requests: -1, per: 'hour' }] }), /greater than or equal to 0/],
  [
    'an endpoint that is none',
    consumer({ limits: [{ requests: 1, per: 'day', endpoint: 'x' }] }),
    /Unsupported value: "x"/,
  ],
  ['a user twice', consumer({ users: ['a', 'a'] }), /Duplicate value/],
  [
    'more money than can be counted',
    consumer({ budget: { amount: '9000001', currency: 'EUR', period: 'day' } }),
    /at most 9000000/,
  ],
];

suite('the custom resource definitions, on a real API server', () => {
  let cluster: Cluster;

  before(async () => {
    cluster = await Cluster.start();
    const definitions = [...customResourceDefinitions().values()].map(definition => JSON.stringify(definition));
    await cluster.kubectl(['apply', '-f', '-'], definitions.join('\n'));
    await cluster.kubectl(['wait', '--for=condition=Established', 'crd', '--all']);
  });

  after(() => cluster?.stop());

  const apply = (document: Fields) => cluster.kubectl(['apply', '-f', '-'], JSON.stringify(document));

  for (const [what, document, said] of WRONG) {
    test(`${what}: refused in a file and in the cluster`, async () => {
      assert.ok('problems' in readResource(document), 'the file is refused');
      await assert.rejects(apply(document), said);
    });
  }

  test('the example is accepted, shown in columns, found by short name and category', async () => {
    const directory = join(import.meta.dirname, '..', '..', 'examples', 'local');
    for (const file of ['models.yaml', 'gateway.yaml']) {
      const text = readFileSync(join(directory, file), 'utf8');
      for (const document of parseAllDocuments(text)) if (document.contents) await apply(document.toJS());
    }
    const table = await cluster.kubectl(['get', 'md']);
    assert.match(table, /^NAME +MODEL +TYPE +READY +STRATEGY +AGE$/m);
    assert.match(table, /^qwen .*text-generation .*round-robin /m);
    assert.match(await cluster.kubectl(['get', 'igw']), /^default /m);
    assert.match(await cluster.kubectl(['get', 'fairlead', '-o', 'name']), /modeldeployment.fairlead.dev\/bge-m3/);
  });

  test('defaults are filled in as the schemas fill them in', async () => {
    const document = modelDeployment({});
    await apply(document);
    const stored = JSON.parse(await cluster.kubectl(['get', 'md', 'm', '-o', 'json'])) as { spec: Fields };
    const read = readResource(document);
    assert.ok('resource' in read);
    const { timeouts: _, ...spec } = JSON.parse(JSON.stringify(read.resource.spec)) as Fields;
    const { timeouts, ...filled } = stored.spec;
    assert.deepEqual(filled, spec);
    assert.deepEqual(timeouts, { connect: '5s', headers: '60s', idle: '60s', request: '600s' });
  });

  test('TLS and origins of every kind are accepted', async () => {
    const listeners = [{ name: 'https', port: 8443, tls: { secretRef: { name: 'gateway-tls' } } }];
    const allowOrigins = ['https://a.example', 'http://localhost:3000', 'https://*.a.example', 'http://[::1]:8080'];
    await apply(inferenceGateway({ listeners, cors: { allowOrigins } }));
    const stored = JSON.parse(await cluster.kubectl(['get', 'igw', 'g', '-o', 'json'])) as { spec: Fields };
    assert.deepEqual(stored.spec.listeners, [
      { name: 'https', port: 8443, tls: { secretRef: { name: 'gateway-tls' }, minVersion: '1.2' } },
    ]);
    await apply(inferenceGateway({ cors: { allowOrigins: ['*'] } }));
  });

  test('a key or a password in place of something else is refused, and not shown', async () => {
    const secrets: readonly (readonly [Fields, secret: string])[] = [
      [consumer({ apiKeys: [{ sha256: KEY }] }), KEY],
      [consumer({ apiKeys: [{ sha256: KEY.repeat(5) }] }), KEY],
      [consumer({ apiKeys: [{ name: KEY, sha256: DIGEST }] }), KEY],
      [consumer({ apiKeys: [{ secretRef: { name: KEY } }] }), KEY],
      [consumer({ apiKeys: [{ secretRef: { name: 'a', key: `${KEY} ` } }] }), KEY],
      [inferenceGateway({ limits: { store: 'valkey', valkey: { url: 'valkey://u:pass-word@v:6379' } } }), 'pass-word'],
      [
        inferenceGateway({
          authentication: { mode: 'jwt', jwt: [{ ...ISSUER, jwksUrl: 'https://u:pass-word@id.example/' }] },
        }),
        'pass-word',
      ],
    ];
    for (const [document, secret] of secrets) {
      await assert.rejects(apply(document), (error: Error & { stderr?: string }) => {
        assert.match(error.stderr ?? '', /is invalid/);
        assert.ok(!error.stderr?.includes(secret), error.stderr);
        return true;
      });
    }
  });

  test('a Consumer is stored as it was written, with its defaults, and shown in columns', async () => {
    const limits = [{ requests: 100, per: 'minute' }, { concurrency: 8 }, { tokens: 0, per: 'day', model: 'org/*' }];
    const budget = { amount: '100.00', currency: 'EUR', period: 'month', timeZone: 'Europe/Paris' };
    const apiKeys = [
      { name: 'laptop', sha256: DIGEST, expires: '2027-01-01T00:00:00Z' },
      { secretRef: { name: 'ci' } },
    ];
    const jwt = [{ issuer: 'https://a', subject: 'x', claims: { 'org.team': 'a' } }];
    await apply(consumer({ apiKeys, jwt, users: ['al'], models: ['llama@2', 'org/*'], limits, budget }));
    const stored = JSON.parse(await cluster.kubectl(['get', 'consumer', 'alice', '-o', 'json'])) as { spec: Fields };
    assert.deepEqual(stored.spec, {
      apiKeys: [apiKeys[0], { secretRef: { name: 'ci', key: 'api-key' } }],
      jwt,
      users: ['al'],
      models: ['llama@2', 'org/*'],
      limits: limits.map(limit => ({ each: [], shadow: false, ...limit })),
      budget: { ...budget, warnAt: 80 },
      explain: { allow: false },
    });
    assert.ok('resource' in readResource(consumer(stored.spec)), 'what is read back is accepted');
    const table = await cluster.kubectl(['get', 'consumers']);
    assert.match(table, /^NAME +ACCEPTED +PROGRAMMED +SPENT +AGE$/m);
    assert.match(await cluster.kubectl(['get', 'fairlead', '-o', 'name']), /consumer.fairlead.dev\/alice/);
  });

  test('a gateway with issuers and a store is accepted', async () => {
    const authentication = { mode: 'apiKeysOrJwt', jwt: [{ ...ISSUER, audiences: ['a'], consumerClaim: 'org.team' }] };
    const valkey = {
      url: 'valkeys://v:6379/1',
      username: 'a',
      secretRef: { name: 'v' },
      ca: { secretRef: { name: 'c' } },
    };
    const limits = { store: 'valkey', valkey, onStoreFailure: 'deny', rules: [{ requests: 5, per: 'second' }] };
    await apply(inferenceGateway({ authentication, limits, hideForbiddenModels: true }));
    await apply(inferenceGateway({ anonymous: { limits: [{ requests: 5, per: 'day', each: ['user'] }] } }));
    const pricing = { currency: 'EUR', promptPerMillion: '0.10', completionPerMillion: '0' };
    await apply(
      modelDeployment({ pricing, forceUsage: true, limits: [{ tokens: 5, per: 'hour', each: ['consumer'] }] }),
    );
  });

  test('kubectl explain says what a field is for', async () => {
    assert.match(
      await cluster.kubectl(['explain', 'md.spec.backends.weight']),
      /Share of the requests among the backends/,
    );
    assert.match(await cluster.kubectl(['explain', 'igw.spec.validation']), /How much of a JSON body is checked/);
  });
});
