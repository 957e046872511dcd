import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { spellPath } from './field-problem.ts';
import { readResource } from './read-resource.ts';

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

describe('a resource that is wrong', () => {
  const cases: [name: string, document: Record<string, unknown>, ...expected: string[]][] = [
    [
      'a typing error in a field',
      model({ aliasses: [] }),
      'key spec.aliasses: unknown field `aliasses`; did you mean `aliases`?',
    ],
    ['a field far from any', model({ replicas: 3 }), 'key spec.replicas: unknown field `replicas`'],
    [
      'a field in the wrong place',
      model({ strategy: 'random' }),
      'key spec.strategy: unknown field `strategy`; it belongs in `spec.routing`',
    ],
    [
      'a field of an element in the wrong place',
      withBackends({ ...backend, port: 80, selector: {} }),
      'key spec.backends[0].port: unknown field `port`; it belongs in `spec.backends[].pods`',
      'key spec.backends[0].selector: unknown field `selector`; it belongs in `spec.backends[].pods`',
    ],
    [
      'fields of later versions',
      model({ slo: {}, cache: {} }),
      ...['slo', 'cache'].map(field => `key spec.${field}: \`${field}\` is not served by this version of Fairlead`),
    ],
    [
      'fields of a backend of later versions, without a complaint about what they would replace',
      withBackends({
        name: 'a',
        url: 'https://api.openai.com/v1',
        credentials: {},
        timeout: '1s',
        ca: {},
        headers: {},
      }),
      ...['url', 'credentials', 'timeout', 'ca', 'headers'].map(
        field => `key spec.backends[0].${field}: \`${field}\` is not served by this version of Fairlead`,
      ),
    ],
    [
      'a strategy misspelt',
      model({ routing: { strategy: 'leastrequest' } }),
      'value spec.routing.strategy: expected one of `random`, `shuffle`, `round-robin`, `least-request` or `throughput`, got `leastrequest`; did you mean `least-request`?',
    ],
    ...['session-affinity', 'prefix-cache', 'expected-latency'].map(
      (strategy): [string, Record<string, unknown>, string] => [
        `the strategy ${strategy} of a later version`,
        model({ routing: { strategy } }),
        `value spec.routing.strategy: \`${strategy}\` is not served by this version of Fairlead; it serves \`random\`, \`shuffle\`, \`round-robin\`, \`least-request\` and \`throughput\``,
      ],
    ),
    [
      'a type in capitals',
      model({ type: 'Text-Embeddings' }),
      'value spec.type: expected one of `text-generation`, `image-text-to-text`, `text-embeddings`, `text-ranking`, `text-classification`, `automatic-speech-recognition`, `text-to-speech` or `text-to-image`, got `Text-Embeddings`; did you mean `text-embeddings`?',
    ],
    ['no backends', { ...model(), spec: {} }, 'value spec.backends: is missing: expected a list'],
    ['an empty list of backends', withBackends(), 'value spec.backends: expected at least 1 of them, got 0'],
    [
      'too many backends',
      withBackends(...Array.from({ length: 17 }, (_, index) => ({ ...backend, name: `b${index}` }))),
      'value spec.backends: expected at most 16 of them, got 17',
    ],
    [
      'backends that are no list',
      model({ backends: { name: 'a' } }),
      'value spec.backends: expected a list, got a mapping',
    ],
    [
      'neither pods nor endpoints',
      withBackends({ name: 'a' }),
      'value spec.backends[0]: needs either `pods` or `endpoints`',
    ],
    [
      'both pods and endpoints',
      withBackends({ ...backend, pods: { selector: { matchLabels: { app: 'x' } }, port: 1 } }),
      'value spec.backends[0].endpoints: has both `pods` and `endpoints`: one must go',
    ],
    [
      'a typing error where one of two is needed, without a complaint about both',
      withBackends({ name: 'a', endpoint: ['x:1'] }),
      'key spec.backends[0].endpoint: unknown field `endpoint`; did you mean `endpoints`?',
    ],
    [
      'a selector without labels',
      withBackends({ name: 'a', pods: { selector: { matchLabels: {} }, port: 8000 } }),
      'value spec.backends[0].pods.selector.matchLabels: expected at least one label: no pod is meant by none',
    ],
    [
      'two backends of one name',
      withBackends(backend, backend),
      'value spec.backends[1].name: `a` is already the name of backends[0]',
    ],
    [
      'a weight on one of two',
      withBackends({ ...backend, weight: 1 }, { ...backend, name: 'b' }),
      'value spec.backends[1]: has no `weight`, but others of priority 0 do: give all of them one, or none',
    ],
    [
      'weights that are all 0',
      withBackends(
        { ...backend, weight: 0 },
        { ...backend, name: 'b', weight: 0 },
        { ...backend, name: 'c', priority: 1 },
      ),
      'value spec.backends[1].weight: every backend of priority 0 has weight 0: at least one must have more',
    ],
    [
      'a capacity of nothing',
      withBackends({ ...backend, capacity: 0 }),
      'value spec.backends[0].capacity: expected more than 0, got `0`',
    ],
    [
      'a negative weight',
      withBackends({ ...backend, weight: -1 }),
      'value spec.backends[0].weight: expected at least 0, got `-1`',
    ],
    [
      'a port out of range',
      withBackends({ name: 'a', pods: { selector: { matchLabels: { app: 'x' } }, port: 65_536 } }),
      'value spec.backends[0].pods.port: expected a port, 1 to 65535, got `65536`',
    ],
    [
      'a URL for an endpoint',
      withBackends({ name: 'a', endpoints: ['https://gpu-box/v1', '1.2.3:80', 'gpu', 'gpu:0'] }),
      ...['`https://gpu-box/v1`; did you mean `gpu-box:443`?', '`1.2.3:80`', '`gpu`', '`gpu:0`'].map(
        (got, index) =>
          `value spec.backends[0].endpoints[${index}]: expected host:port, such as \`10.0.0.7:8000\`, \`gpu-box:8000\` or \`[fd00::7]:8000\`, got ${got}`,
      ),
    ],
    [
      'a duration without a unit',
      model({ timeouts: { request: 600, connect: 0.5 } }),
      'value spec.timeouts.connect: expected a duration such as `5s`, `500ms` or `1m30s`, got `0.5`; did you mean `500ms`?',
      'value spec.timeouts.request: expected a duration such as `5s`, `500ms` or `1m30s`, got `600`; did you mean `600s`?',
    ],
    [
      'a duration of nothing',
      model({ timeouts: { idle: '0s' } }),
      'value spec.timeouts.idle: expected a duration of 1ms to 24h, got `0s`',
    ],
    [
      'a duration without end',
      model({ timeouts: { idle: '25h' } }),
      'value spec.timeouts.idle: expected a duration of 1ms to 24h, got `25h`',
    ],
    [
      'too many retries',
      model({ retries: { attempts: 3 } }),
      'value spec.retries.attempts: expected at most 2, got `3`',
    ],
    [
      'a number for a version',
      model({ version: 2 }),
      'value spec.version: expected a version, got `2`; did you mean `"2"`?',
    ],
    [
      'a number for a string',
      model({ ownedBy: 2 }),
      'value spec.ownedBy: expected a string, got `2`: put it in quotes',
    ],
    [
      'a string for a boolean',
      model({ default: 'true' }),
      'value spec.default: expected `true` or `false`, got `true` in quotes',
    ],
    [
      'a fraction of a token',
      model({ maxContextLength: 1.5 }),
      'value spec.maxContextLength: expected a whole number, got `1.5`',
    ],
    [
      'an alias that is the id',
      model({ model: 'x', aliases: ['x'] }),
      'value spec.aliases[0]: `x` is already the id of the model',
    ],
    [
      'an alias that is the name, the id being that',
      model({ aliases: ['llama'] }),
      'value spec.aliases[0]: `llama` is already the id of the model',
    ],
    ['an alias twice', model({ aliases: ['y', 'y'] }), 'value spec.aliases[1]: `y` is already spec.aliases[0]'],
    [
      '@ in an alias',
      model({ aliases: ['a@1'] }),
      'value spec.aliases[0]: `a@1` may not contain `@`: it separates a name from its version',
    ],
    [
      'a control character in an alias',
      model({ aliases: ['a\u0000b'] }),
      'value spec.aliases[0]: `a\\u0000b` has a control character',
    ],
    ['a space at the end of an id', model({ model: 'a ' }), 'value spec.model: `a ` begins or ends with a space'],
    ['an empty alias', model({ aliases: [''] }), 'value spec.aliases[0]: expected a name, got an empty string'],
    [
      'an alias of 257 bytes',
      model({ aliases: [`${'x'.repeat(255)}é`] }),
      'value spec.aliases[0]: longer than 256 bytes',
    ],
    [
      'an alias too long with its version',
      model({ version: '2', aliases: ['x'.repeat(255)] }),
      'value spec.aliases[0]: longer than 256 bytes together with `@2`',
    ],
    [
      'a name that Kubernetes would not take',
      model({}, { name: 'Llama_3' }),
      'value metadata.name: expected lower-case letters, digits, dashes and dots, got `Llama_3`; did you mean `llama-3`?',
    ],
    [
      'no name',
      { ...model(), metadata: {} },
      'value metadata.name: is missing: expected lower-case letters, digits, dashes and dots',
    ],
    [
      'TLS of no secret',
      gateway({ listeners: [{ name: 'a', port: 1, tls: {} }] }),
      'value spec.listeners[0].tls.secretRef: is missing: expected a mapping',
    ],
    [
      'a secret that is not named, and one by what it holds',
      gateway({
        listeners: [
          { name: 'a', port: 1, tls: { secretRef: {} } },
          { name: 'b', port: 2, tls: { secretRef: { name: 'b', key: 'k' } } },
          { name: 'c', port: 3, tls: { secretName: 'c', secretRef: { name: 'TLS' } } },
        ],
      }),
      'value spec.listeners[0].tls.secretRef.name: is missing: expected lower-case letters, digits, dashes and dots',
      'key spec.listeners[1].tls.secretRef.key: unknown field `key`',
      'value spec.listeners[2].tls.secretRef.name: expected lower-case letters, digits, dashes and dots, got `TLS`; did you mean `tls`?',
      'key spec.listeners[2].tls.secretName: unknown field `secretName`',
    ],
    [
      'an old version of TLS, and one without quotes',
      gateway({
        listeners: [
          { name: 'a', port: 1, tls: { secretRef: { name: 'a' }, minVersion: '1.0' } },
          { name: 'b', port: 2, tls: { secretRef: { name: 'a' }, minVersion: 1.3 } },
        ],
      }),
      'value spec.listeners[0].tls.minVersion: expected one of `1.2` or `1.3`, got `1.0`; did you mean `1.2`?',
      'value spec.listeners[1].tls.minVersion: expected one of `1.2` or `1.3` as a string, got the number `1.3`: put it in quotes',
    ],
    ...(
      [
        ['https://App.example.com', 'https://app.example.com'],
        ['https://app.example.com/', 'https://app.example.com'],
        ['https://app.example.com/chat?x', 'https://app.example.com'],
        ['app.example.com', 'https://app.example.com'],
        ['https://app.example.com:443', 'https://app.example.com'],
        ['http://app.example.com:80', 'http://app.example.com'],
        ['https://app.*.com', undefined],
        ['https://*', undefined],
        ['https://*.com', undefined],
        ['*.example.com', 'https://*.example.com'],
        ['https://**.example.com', undefined],
        ['null', undefined],
        ['', undefined],
        ['https://a b', 'https://a'],
      ] as const
    ).map(([origin, meant]): [string, Record<string, unknown>, string] => [
      `the origin "${origin}"`,
      gateway({ cors: { allowOrigins: [origin] } }),
      `value spec.cors.allowOrigins[0]: expected an origin such as \`https://app.example.com\`, \`https://*.example.com\` or \`*\`, got \`${origin}\`${meant ? `; did you mean \`${meant}\`?` : ''}`,
    ]),
    [
      'all origins and others, one twice',
      gateway({ cors: { allowOrigins: ['https://a.example', '*', 'https://a.example'] } }),
      'value spec.cors.allowOrigins[1]: `*` allows every origin: leave the others out',
      'value spec.cors.allowOrigins[2]: `https://a.example` is there already',
    ],
    [
      'CORS that is no list',
      gateway({ cors: { allowOrigins: '*', allowCredentials: true } }),
      'value spec.cors.allowOrigins: expected a list, got `*`',
      'key spec.cors.allowCredentials: unknown field `allowCredentials`',
    ],
    ['no metadata', { apiVersion, kind: 'InferenceGateway' }, 'value metadata: is missing: expected a mapping'],
    [
      'listeners on one port and of one name',
      gateway({
        listeners: [
          { name: 'a', port: 8889 },
          { name: 'a', port: 1 },
          { name: 'b', port: 1 },
        ],
      }),
      'value spec.listeners[0].port: port 8889 is already taken by `admin`',
      'value spec.listeners[1].name: `a` is already the name of listeners[0]',
      'value spec.listeners[2].port: port 1 is already taken by listeners[1]',
    ],
    [
      'localhost as an address to bind',
      gateway({ admin: { address: 'localhost' } }),
      'value spec.admin.address: expected an IP address, such as `127.0.0.1`, `0.0.0.0` or `::1`, got `localhost`; did you mean `127.0.0.1`?',
    ],
    [
      'a model header that is never let through',
      gateway({ modelHeaders: ['X-Fairlead-Model'] }),
      'value spec.modelHeaders[0]: expected a header that clients may send, got `X-Fairlead-Model`',
    ],
    ...['host', 'Content-Length', 'authorization', 'accept', 'x-forwarded-for'].map(
      (header): (typeof cases)[number] => [
        `a model header that says something else: ${header}`,
        gateway({ modelHeaders: ['x-model', header] }),
        `value spec.modelHeaders[1]: expected a header that says nothing else, such as \`x-model\`, got \`${header}\``,
      ],
    ),
    [
      'a kind misspelt',
      { apiVersion, kind: 'InferenceGatewy' },
      'value kind: expected one of `ModelDeployment`, `InferenceGateway` or `Consumer`, got `InferenceGatewy`; did you mean `InferenceGateway`?',
    ],
    [
      'a kind that nobody has',
      { apiVersion, kind: 'Service' },
      'value kind: expected one of `ModelDeployment`, `InferenceGateway` or `Consumer`, got `Service`',
    ],
    [
      'another version of the API',
      { apiVersion: 'fairlead.dev/v2', kind: 'ModelDeployment' },
      'value apiVersion: expected `fairlead.dev/v1alpha1`, got `fairlead.dev/v2`',
    ],
    [
      'no version of the API',
      { kind: 'ModelDeployment' },
      'value apiVersion: expected `fairlead.dev/v1alpha1`, got nothing',
    ],
  ];
  for (const [name, document, ...expected] of cases) {
    test(name, () => assert.deepEqual(problems(document).sort(), expected.sort()));
  }

  test('a long value is cut in the message', () => {
    const [problem] = problems(model({ type: 'x'.repeat(5000) }));
    assert.ok(problem !== undefined && problem.length < 500 && problem.includes('…'));
  });

  test('whatever a document holds, the answer is a resource or problems', () => {
    const kind = fc.constantFrom('ModelDeployment', 'InferenceGateway', 'Consumer');
    const spec = fc.oneof(
      fc.jsonValue(),
      fc.record({
        backends: fc.jsonValue(),
        aliases: fc.jsonValue(),
        listeners: fc.jsonValue(),
        timeouts: fc.jsonValue(),
      }),
      fc.record({
        apiKeys: fc.jsonValue(),
        jwt: fc.array(fc.record({ issuer: fc.string(), claims: fc.jsonValue() })),
        users: fc.jsonValue(),
        models: fc.array(fc.string()),
        limits: fc.array(fc.jsonValue()),
        budget: fc.record({ amount: fc.jsonValue(), timeZone: fc.jsonValue() }),
        pricing: fc.jsonValue(),
        authentication: fc.jsonValue(),
      }),
      fc.record({
        backends: fc.array(fc.record({ name: fc.jsonValue(), pods: fc.jsonValue(), endpoints: fc.array(fc.string()) })),
      }),
    );
    fc.assert(
      fc.property(kind, fc.jsonValue(), spec, (kind, metadata, spec) => {
        const { resource, problems } = readResource({ apiVersion, kind, metadata, spec });
        assert.ok(resource === undefined ? problems !== undefined && problems.length > 0 : problems === undefined);
      }),
    );
  });
});
