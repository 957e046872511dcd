import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { LimitEach } from '../../proto/gen/fairlead/v1/table_pb.js';
import type { ClusterState, Pod } from '../source/cluster-state.ts';
import { type Plan, plan } from './plan.ts';
import { clusterState, inferenceGateway, modelDeployment, pod } from './test-state.fixture.ts';

const standalone = { standalone: true };
const inCluster = { standalone: false };

/** Endpoints of one backend, as "name address id", draining ones with a star. */
function endpoints({ endpoints }: Plan, group: string): string[] | undefined {
  return endpoints
    .get(group)
    ?.endpoints.map(({ name, address, id, draining }) => `${name}${draining ? '*' : ''} ${address} ${id}`);
}

function condition({ statuses }: Plan, key: string, type: string): string {
  const found = statuses.get(key)?.conditions.find(condition => condition.type === type);
  return `${found?.status} ${found?.reason} ${found?.message}`.trim();
}

function warnings({ warnings }: Plan): string[] {
  return warnings.map(({ resource, reason, path, message }) => `${resource} ${reason} ${path.join('.')}: ${message}`);
}

describe('models', () => {
  test('a model carries what its resource says', () => {
    const md = modelDeployment(
      'ml/llama',
      {
        model: 'meta/llama',
        aliases: ['turbo'],
        version: '2',
        type: 'image-text-to-text',
        maxContextLength: 8192,
        ownedBy: 'acme',
        backends: [
          { name: 'a', runtime: 'vllm', model: 'llama-fp8', endpoints: ['10.0.0.1:8000'], capacity: 2.5, weight: 90 },
          { name: 'b', runtime: 'vllm', endpoints: ['10.0.0.2:8000'], priority: 3 },
        ],
        routing: { strategy: 'round_robin', clientMayChoose: false },
        timeouts: { connect: '500ms', request: '1h' },
        retries: { attempts: 1 },
        limits: [{ requests: 10, per: 'second', each: ['consumer'] }],
        pricing: { currency: 'EUR', promptPerMillion: '0.10', completionPerMillion: '2', perRequest: '0.000001' },
        forceUsage: true,
      },
      1_700_000_000_999,
    );
    const {
      $typeName: _,
      backends,
      timeouts,
      limits,
      pricing,
      ...model
    } = plan(clusterState([md]), inCluster).models.get('ml/llama') ?? assert.fail();
    assert.deepEqual(model, {
      id: 'meta/llama',
      names: ['meta/llama', 'turbo', 'meta/llama@2', 'turbo@2'],
      aliases: ['turbo'],
      type: 'image-text-to-text',
      version: '2',
      maxContextLength: 8192,
      ownedBy: 'acme',
      created: 1_700_000_000,
      strategy: 'round-robin',
      clientMayChoose: false,
      retryAttempts: 1,
      forceUsage: true,
    });
    assert.deepEqual(
      limits.map(({ amount, periodSeconds, each }) => [amount, periodSeconds, each]),
      [[10n, 1, [LimitEach.CONSUMER]]],
    );
    const { $typeName: __, ...prices } = pricing ?? assert.fail();
    assert.deepEqual(prices, {
      ...{ currency: 'EUR', promptToken: 100_000n, completionToken: 2_000_000n, request: 1_000_000n },
      ...{ image: 0n, audioMinute: 0n },
    });
    const plain = backends.map(({ $typeName: _, ...backend }) => backend);
    assert.deepEqual(plain, [
      { name: 'a', runtime: 'vllm', upstreamModel: 'llama-fp8', capacity: 2.5, priority: 0, weight: 90 },
      { name: 'b', runtime: 'vllm', upstreamModel: '', capacity: 1, priority: 3 },
    ]);
    const { connectMs, requestMs, headersMs, idleMs } = timeouts ?? assert.fail();
    assert.deepEqual([connectMs, requestMs, headersMs, idleMs], [500, 3_600_000, 60_000, 60_000]);
  });

  test('the id is the name of the resource where it names no model', () => {
    assert.deepEqual(plan(clusterState([modelDeployment('ml/llama')]), inCluster).models.get('ml/llama')?.names, [
      'llama',
    ]);
  });

  test('a model whose name is taken is not served, and says by whom', () => {
    const older = modelDeployment('ml/z', { aliases: ['turbo'] }, Date.UTC(2026, 0, 31));
    const younger = modelDeployment('ml/a', { aliases: ['turbo'] }, Date.UTC(2026, 1, 1));
    const planned = plan(clusterState([younger, older], [pod('ml/p', 'a', '10.0.0.1')]), inCluster);
    assert.deepEqual([...planned.models.keys()], ['ml/z']);
    assert.deepEqual([...planned.endpoints.keys()], ['ml/z/gpu']);
    assert.equal(
      condition(planned, 'ml/a', 'Accepted'),
      'False NameConflict alias "turbo" is taken by ml/z since 2026-01-31T00:00:00.000Z',
    );
    assert.match(condition(planned, 'ml/a', 'Ready'), /^False NotAccepted/);
    assert.equal(condition(planned, 'ml/z', 'Accepted'), 'True Accepted');
  });

  test('a conflict over a version or the default says what to do', () => {
    const both = clusterState([modelDeployment('ml/a', { model: 'x' }), modelDeployment('ml/b', { model: 'x' })]);
    assert.equal(
      condition(plan(both, inCluster), 'ml/b', 'Accepted'),
      'False NameConflict id "x" is taken by ml/a since 1970-01-01T00:00:00.000Z: versions of one model each need their own spec.version',
    );
    const defaults = clusterState(
      ['a', 'b'].map(name => modelDeployment(`ml/${name}`, { model: 'x', version: name, default: true })),
    );
    assert.equal(
      condition(plan(defaults, inCluster), 'ml/b', 'Accepted'),
      'False NameConflict ml/a since 1970-01-01T00:00:00.000Z is the default of id "x": only one may have default: true',
    );
  });
});

describe('endpoints', () => {
  const md = modelDeployment('ml/llama');
  const of = (...pods: Pod[]) => plan(clusterState([md], pods), inCluster);

  test('are the ready pods of the namespace that have all labels, by name; leaving ones drain', () => {
    const planned = of(
      pod('ml/c', 'llama', '10.0.0.3'),
      pod('ml/b', 'llama', 'fd00::2', { labels: { app: 'llama', zone: 'x' } }),
      pod('ml/a', 'llama', '10.0.0.1', { terminating: true, ready: false }),
      pod('ml/not-ready', 'llama', '10.0.0.4', { ready: false }),
      pod('ml/other', 'qwen', '10.0.0.5'),
      pod('prod/elsewhere', 'llama', '10.0.0.6'),
      pod('ml/new', 'llama', '', { ip: undefined }),
    );
    assert.deepEqual(endpoints(planned, 'ml/llama/gpu'), [
      'a* 10.0.0.1:8000 uid-ml/a:8000',
      'b [fd00::2]:8000 uid-ml/b:8000',
      'c 10.0.0.3:8000 uid-ml/c:8000',
    ]);
    assert.deepEqual(planned.statuses.get('ml/llama')?.endpoints, { ready: 2, total: 4 });
    assert.equal(condition(planned, 'ml/llama', 'Ready'), 'True Ready 2/4 endpoints');
  });

  test('a pod that leaves gives way to the one that has its address now', () => {
    const planned = of(pod('ml/a', 'llama', '10.0.0.1', { terminating: true }), pod('ml/b', 'llama', '10.0.0.1'));
    assert.deepEqual(endpoints(planned, 'ml/llama/gpu'), ['b 10.0.0.1:8000 uid-ml/b:8000']);
    assert.deepEqual(planned.warnings, []);
  });

  test('by address are named after their backend, and by host name are where that is', () => {
    const spec = { backends: [{ name: 's', endpoints: ['10.0.0.1:80', '[fd00::1]:80', 'gpu-box:81', 'nowhere:82'] }] };
    const hosts: ClusterState['hosts'] = new Map([
      ['gpu-box', { ip: '10.9.9.9' }],
      ['nowhere', { failure: 'nowhere is not a known host name (ENOTFOUND)' }],
    ]);
    const planned = plan(clusterState([modelDeployment('ml/x', spec)], [], { hosts }), inCluster);
    assert.deepEqual(endpoints(planned, 'ml/x/s'), [
      's-0 10.0.0.1:80 10.0.0.1:80',
      's-1 [fd00::1]:80 [fd00::1]:80',
      's-2 10.9.9.9:81 10.9.9.9:81',
    ]);
    assert.deepEqual(planned.statuses.get('ml/x')?.endpoints, { ready: 3, total: 4 });
    assert.deepEqual(warnings(planned), [
      'ml/x UnresolvedHost spec.backends.0.endpoints.3: `nowhere:82` is left out: nowhere is not a known host name (ENOTFOUND)',
    ]);
    assert.equal(
      condition(planned, 'ml/x', 'BackendsResolved'),
      'True Resolved spec.backends[0].endpoints[3]: `nowhere:82` is left out: nowhere is not a known host name (ENOTFOUND)',
    );
  });

  test('lacking, the status and a warning say why', () => {
    const reasons: [Pod[], string][] = [
      [[], 'selector app=llama matches no pods in namespace ml'],
      [[pod('ml/a', 'llama', '10.0.0.1', { ready: false })], 'selector app=llama matches 1 pod, which is not ready: a'],
      [
        [pod('ml/a', 'llama', '10.0.0.1', { ready: false }), pod('ml/b', 'llama', '10.0.0.2', { terminating: true })],
        'selector app=llama matches 2 pods, none of them ready: a and others',
      ],
    ];
    for (const [pods, reason] of reasons) {
      const planned = of(...pods);
      assert.equal(condition(planned, 'ml/llama', 'Accepted'), 'True Accepted');
      assert.equal(condition(planned, 'ml/llama', 'BackendsResolved'), `False NoEndpoints backend gpu: ${reason}`);
      assert.equal(condition(planned, 'ml/llama', 'Ready'), `False NoEndpoints backend gpu: ${reason}`);
      assert.deepEqual(warnings(planned), [
        `ml/llama NoEndpoints spec.backends.0.pods.selector: backend gpu has no endpoint: ${reason}`,
      ]);
    }
  });

  test('of one backend lacking, the model is ready all the same', () => {
    const backends = [
      { name: 'a', endpoints: ['10.0.0.1:80'] },
      { name: 'b', endpoints: ['nowhere:80'] },
    ];
    const planned = plan(clusterState([modelDeployment('ml/x', { backends })]), inCluster);
    assert.equal(condition(planned, 'ml/x', 'Ready'), 'True Ready 1/2 endpoints');
    assert.equal(
      condition(planned, 'ml/x', 'BackendsResolved'),
      'False NoEndpoints backend b: none of its host names resolves: nowhere is still being looked up',
    );
  });
});

describe('warnings', () => {
  test('about backends that may answer differently, foreign dialects, shared and repeated addresses, other ports', () => {
    const backends = [
      { name: 'a', runtime: 'vllm', endpoints: ['10.0.0.1:80', '10.0.0.1:80'] },
      { name: 'b', runtime: 'sglang', endpoints: ['10.0.0.1:80'] },
      { name: 'c', runtime: 'anthropic', pods: { selector: { matchLabels: { app: 'x' } }, port: 80 } },
    ];
    const state = clusterState(
      [modelDeployment('ml/x', { backends })],
      [pod('ml/p', 'x', '10.0.0.2', { ports: [8000] })],
    );
    const planned = plan(state, inCluster);
    assert.deepEqual(warnings(planned), [
      'ml/x DuplicateAddress spec.backends.0.endpoints: `10.0.0.1:80` is the address of both a-0 and a-1: used once',
      'ml/x MixedRuntimes spec.backends.1.runtime: runtime sglang, while backend a runs vllm: answers may differ in form',
      'ml/x SharedAddress spec.backends.1: `10.0.0.1:80` is an endpoint of backend a as well',
      'ml/x MixedRuntimes spec.backends.2.runtime: runtime anthropic, while backend a runs vllm: answers may differ in form',
      "ml/x ForeignDialect spec.backends.2.runtime: this version passes requests to anthropic unchanged, in OpenAI's form",
      'ml/x PortNotDeclared spec.backends.2.pods.port: pod p declares port 8000, not 80',
    ]);
    assert.equal(planned.endpoints.get('ml/x/a')?.endpoints.length, 1);
  });

  test('two spellings of one address are one endpoint', () => {
    const spec = { backends: [{ name: 'a', endpoints: ['[0:0:0:0:0:0:0:1]:80', '[::1]:80', '[FD00::0007]:80'] }] };
    const planned = plan(clusterState([modelDeployment('ml/x', spec)]), inCluster);
    assert.deepEqual(endpoints(planned, 'ml/x/a'), ['a-0 [::1]:80 [::1]:80', 'a-2 [fd00::7]:80 [fd00::7]:80']);
    assert.deepEqual(warnings(planned), [
      'ml/x DuplicateAddress spec.backends.0.endpoints: `[::1]:80` is the address of both a-0 and a-1: used once',
    ]);
    const pods = plan(
      clusterState([modelDeployment('ml/x')], [pod('ml/p', 'x', 'FD00:0::7'), pod('ml/q', 'x', '::ffff:10.0.0.7')]),
      inCluster,
    );
    assert.deepEqual(endpoints(pods, 'ml/x/gpu'), ['p [fd00::7]:8000 uid-ml/p:8000', 'q 10.0.0.7:8000 uid-ml/q:8000']);
  });

  test('two models on one pod are no reason for one', () => {
    const backends = [{ name: 'a', endpoints: ['10.0.0.1:80'] }];
    const state = clusterState([modelDeployment('ml/x', { backends }), modelDeployment('ml/y', { backends })]);
    assert.deepEqual(plan(state, inCluster).warnings, []);
  });
});

describe('the gateway', () => {
  const where = ({ gateway }: Plan) => [
    ...gateway.listeners.map(({ name, address, port }) => `${name} ${address}:${port}`),
    `admin ${gateway.adminAddress}:${gateway.adminPort}`,
  ];

  test('that nobody declared has the defaults; alone on a machine it is only reachable from there', () => {
    const alone = plan(clusterState(), standalone);
    assert.deepEqual(where(alone), ['http 127.0.0.1:8888', 'admin 127.0.0.1:8889']);
    assert.equal(alone.gateway.explainAllowed, true);
    const shared = plan(clusterState(), inCluster);
    assert.deepEqual(where(shared), ['http 0.0.0.0:8888', 'admin 0.0.0.0:8889']);
    assert.equal(shared.gateway.explainAllowed, false);
    assert.deepEqual(shared.gateway.modelHeaders, ['x-model', 'model']);
    assert.equal(shared.gateway.maxBodyBytes, 33_554_432);
    assert.deepEqual([shared.gateway.clientHeadersMs, shared.gateway.clientUploadMs], [10_000, 60_000]);
  });

  test('carries what its resource says, before any default', () => {
    const spec = {
      listeners: [{ name: 'a', port: 80, address: '10.0.0.1' }],
      admin: { port: 81, address: '::', endpointLabels: true },
      modelHeaders: ['X-Model'],
      explain: { allow: false },
      clientTimeouts: { upload: '5m' },
    };
    const planned = plan(clusterState([], [], { gateways: [inferenceGateway('ml/g', spec)] }), standalone);
    assert.deepEqual(where(planned), ['a 10.0.0.1:80', 'admin :::81']);
    assert.deepEqual(planned.gateway.modelHeaders, ['x-model']);
    assert.equal(planned.gateway.explainAllowed, false);
    assert.equal(planned.gateway.endpointMetrics, true);
    assert.deepEqual([planned.gateway.clientHeadersMs, planned.gateway.clientUploadMs], [10_000, 300_000]);
    assert.equal(planned.gatewayStatuses.get('ml/g')?.conditions[0]?.status, 'True');
  });

  test('of two is the older, and the other says so', () => {
    const gateways = [
      inferenceGateway('ml/b', { admin: { port: 2 } }, 2),
      inferenceGateway('ml/a', { admin: { port: 1 } }, 1),
    ];
    const planned = plan(clusterState([], [], { gateways }), inCluster);
    assert.equal(planned.gateway.adminPort, 1);
    const [accepted] = planned.gatewayStatuses.get('ml/b')?.conditions ?? [];
    assert.deepEqual(accepted, {
      type: 'Accepted',
      status: 'False',
      reason: 'GatewayConflict',
      message: 'one InferenceGateway is served, and ml/a is older: delete one of the two',
    });
  });
});
