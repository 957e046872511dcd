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

  test('kubectl explain says what a field is for', async () => {
    assert.match(
      await cluster.kubectl(['explain', 'md.spec.backends.weight']),
      /Share of the requests among the backends/,
    );
    assert.match(await cluster.kubectl(['explain', 'igw.spec.validation']), /How much of a JSON body is checked/);
  });
});
