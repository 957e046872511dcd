import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { z } from 'zod';
import { consumerSchema } from './consumer.ts';
import { spellPath } from './field-problem.ts';
import { inferenceGatewaySchema } from './inference-gateway.ts';
import { modelDeploymentSchema } from './model-deployment.ts';
import { isOurs, readResource } from './read-resource.ts';

const apiVersion = 'fairlead.dev/v1alpha1';
const backend = { name: 'a', endpoints: ['10.0.0.1:8000'] };

function model(spec: object = {}, metadata: object = {}) {
  const complete = { backends: [backend], ...spec };
  return { apiVersion, kind: 'ModelDeployment', metadata: { name: 'llama', ...metadata }, spec: complete };
}

function gateway(spec: object) {
  return { apiVersion, kind: 'InferenceGateway', metadata: { name: 'default' }, spec };
}

function problems(document: Record<string, unknown>): string[] {
  return (readResource(document).problems ?? []).map(({ path, at, message }) => `${at} ${spellPath(path)}: ${message}`);
}

function withBackends(...backends: object[]) {
  return model({ backends });
}

describe('a resource that is right', () => {
  test('a ModelDeployment gets its defaults', () => {
    const { resource } = readResource(model());
    assert.equal(resource?.kind, 'ModelDeployment');
    assert.equal(resource.metadata.namespace, 'default');
    assert.deepEqual(resource.spec, {
      aliases: [],
      type: 'text-generation',
      default: false,
      backends: [{ name: 'a', runtime: 'custom', endpoints: ['10.0.0.1:8000'], priority: 0 }],
      routing: { strategy: 'least-request', clientMayChoose: true },
      timeouts: { connect: '5s', request: '600s', headers: '60s', idle: '60s' },
      retries: { attempts: 2 },
      limits: [],
      forceUsage: false,
    });
  });

  test('an InferenceGateway gets its defaults, also without a spec', () => {
    const expected = {
      listeners: [{ name: 'http', port: 8888 }],
      admin: { port: 8889, endpointLabels: false },
      authentication: { mode: 'none', jwt: [] },
      hideForbiddenModels: false,
      limits: { store: 'memory', timeout: '20ms', onStoreFailure: 'local', rules: [] },
      maxBodyBytes: 33_554_432,
      clientTimeouts: { headers: '10s', upload: '60s' },
      modelHeaders: ['x-model', 'model'],
      validation: 'basic',
      cors: { allowOrigins: [] },
      explain: {},
    };
    assert.deepEqual(readResource(gateway({})).resource?.spec, expected);
    assert.deepEqual(
      readResource({ apiVersion, kind: 'InferenceGateway', metadata: { name: 'g' } }).resource?.spec,
      expected,
    );
  });

  test('what kubectl reads back from a cluster is accepted', () => {
    const document = {
      ...model(
        {},
        {
          creationTimestamp: '2026-01-31T12:00:00Z',
          generation: 3,
          uid: 'u',
          resourceVersion: '7',
          managedFields: [{ manager: 'kubectl' }],
        },
      ),
      status: { conditions: [] },
    };
    assert.deepEqual(problems(document), []);
  });

  const accepted: [string, Record<string, unknown>][] = [
    ['strategies with an underscore', model({ routing: { strategy: 'round_robin' } })],
    ['compound durations', model({ timeouts: { request: '1h30m', connect: '500ms' } })],
    ['ids with slashes, colons and inner spaces', model({ model: 'org/Some Model:8b', aliases: ['ümläut'] })],
    ['an alias of exactly 256 bytes', model({ aliases: ['x'.repeat(256)] })],
    [
      'weights of all backends of one priority',
      withBackends({ ...backend, weight: 0 }, { ...backend, name: 'b', weight: 1 }),
    ],
    ['weights of one priority only', withBackends({ ...backend, weight: 1 }, { ...backend, name: 'b', priority: 1 })],
    ['an IPv6 endpoint', withBackends({ name: 'a', endpoints: ['[fd00::7]:8000'] })],
    ['an upstream name with @', withBackends({ ...backend, model: 'llama@fp8' })],
  ];
  for (const [name, document] of accepted) {
    test(`accepts ${name}`, () => assert.deepEqual(problems(document), []));
  }
});

test('a document is ours by its group, or by its kind when the group is missing', () => {
  assert.ok(isOurs('fairlead.dev/v9', 'Whatever'));
  assert.ok(isOurs(undefined, 'ModelDeployment'));
  assert.ok(!isOurs('apps/v1', 'Deployment'));
  assert.ok(isOurs('fairlead.de/v1', 'ModelDeployment'));
  assert.ok(isOurs('v1', 'Consumer'));
  assert.ok(!isOurs('kafka.example.com/v1', 'Consumer'));
});

describe('what is generated from the schemas', () => {
  interface Node {
    readonly description?: string;
    readonly properties?: Record<string, Node>;
    readonly items?: Node;
  }

  function* fields(node: Node, path: string): Generator<[path: string, field: Node]> {
    for (const [name, field] of Object.entries(node.properties ?? {})) {
      yield [`${path}.${name}`, field];
      yield* fields(field, `${path}.${name}`);
    }
    if (node.items !== undefined) yield* fields(node.items, `${path}[]`);
  }

  for (const [kind, schema] of Object.entries({ modelDeploymentSchema, inferenceGatewaySchema, consumerSchema })) {
    test(`every field of ${kind} has a description that is a sentence`, () => {
      const all = [...fields(z.toJSONSchema(schema, { io: 'input' }) as Node, '')];
      assert.ok(all.length > 20);
      for (const [path, { description }] of all) assert.match(description ?? '', /^[A-Z`].*\.$/, path);
    });
  }
});
