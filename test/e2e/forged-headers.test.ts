import assert from 'node:assert/strict';
import { request } from 'node:http';
import { connect } from 'node:http2';
import { after, afterEach, before, suite, test } from 'node:test';
import { type SimPod, startPods } from '../../sim/pod.ts';
import { Gateway, model } from './harness/gateway.ts';

const CHAT = '/v1/chat/completions';
const BODY = '{"model":"llama","messages":[{"role":"user","content":"Hi"}],"max_tokens":2}';

/** What a client may not say, and what would come of it if it were believed. `OTHER` is the pod of another model. */
const FORGED: Readonly<Record<string, string>> = {
  'x-gateway-destination-endpoint': 'OTHER',
  'x-gateway-destination-endpoint-subset': 'OTHER',
  'x-gateway-destination-endpoint-served': 'OTHER',
  'target-pod': 'OTHER',
  'target-pod-port': 'OTHER',
  'x-fairlead-cluster': 'default/other',
  'x-fairlead-route': 'c-1 r-1 h-1 i-1',
  'x-fairlead-id': 'forged',
  'x-fairlead-admitted': '1',
  'x-fairlead-model': 'other',
  'x-fairlead-backend': 'forged',
  'x-fairlead-endpoint': 'forged',
  'x-fairlead-anything': 'forged',
  'fl-explain': '1',
  'x-envoy-upstream-rq-timeout-ms': '1',
  'x-envoy-upstream-rq-per-try-timeout-ms': '1',
  'x-envoy-expected-rq-timeout-ms': '1',
  'x-envoy-upstream-stream-duration-ms': '1',
  'x-envoy-hedge-on-per-try-timeout': 'true',
  'x-envoy-max-retries': '0',
  'x-envoy-retry-on': 'retriable-headers',
  'x-envoy-retriable-header-names': ':status',
  'x-envoy-retriable-status-codes': '200',
  'x-envoy-retry-grpc-on': 'cancelled',
  'x-envoy-original-path': '/v1/embeddings',
  'x-envoy-original-dst-host': 'OTHER',
  'x-envoy-decorator-operation': 'forged',
  'x-envoy-upstream-alt-stat-name': 'forged',
  'x-envoy-internal': 'true',
  'x-envoy-attempt-count': '9',
  'x-envoy-force-trace': 'true',
};
/** What a client may say to the gateway, and no pod is told. */
const FOR_THE_GATEWAY = [
  'authorization',
  'x-api-key',
  'cookie',
  'x-fairlead-explain',
  'x-fairlead-ttft-ms',
  'x-fairlead-tpot-ms',
];
/** What passes as it is. */
const FOR_THE_POD = {
  user: 'ann',
  traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
  'openai-organization': 'acme',
  'anthropic-version': '2023-06-01',
  'x-custom': 'a, b',
};

type Headers = Record<string, string | string[]>;

suite('forged headers reach no pod and change nothing', () => {
  let pods: SimPod[] = [];
  let gateway: Gateway;

  before(async () => {
    pods = await startPods([
      { name: 'a', models: ['llama'], timeScale: 20 },
      { name: 'b', models: ['llama'], timeScale: 20 },
      { name: 'other', models: ['other', 'llama'], timeScale: 20 },
    ]);
    const [a = '', b = '', other = ''] = pods.map(pod => pod.endpoint);
    gateway = await Gateway.start({ resources: [model('llama', [a, b]), model('other', [other])] });
  });
  after(async () => {
    await gateway?.close();
    await Promise.all(pods.map(pod => pod.close()));
  });
  afterEach(() => Promise.all(pods.map(pod => pod.clearFaults())));

  const other = () => pods[2] ?? assert.fail();
  const forged = (name: string) => (FORGED[name] ?? '').replace('OTHER', other().endpoint);
  const allForged = () => Object.fromEntries(Object.keys(FORGED).map(name => [name, forged(name)]));

  function over1(headers: Headers): Promise<{ status: number; headers: NodeJS.Dict<string | string[]> }> {
    return new Promise((resolve, reject) => {
      const sent = request(`${gateway.url}${CHAT}`, { method: 'POST', headers, agent: false }, response => {
        response.resume().on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers }));
      });
      sent.on('error', reject).end(BODY);
    });
  }

  function over2(headers: Headers, trailers: Headers = {}): ReturnType<typeof over1> {
    return new Promise((resolve, reject) => {
      const session = connect(gateway.url);
      const stream = session.request({ ':method': 'POST', ':path': CHAT, ...headers }, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers(trailers));
      stream.on('response', response => {
        stream.resume().on('end', () => {
          session.close();
          resolve({ status: Number(response[':status']), headers: response });
        });
      });
      stream.on('error', reject).end(BODY);
    });
  }

  /** Every header by which the last request reached its pod, of which there is one. */
  async function received(send: () => ReturnType<typeof over1>) {
    const before = pods.map(pod => pod.requests.length);
    const { status, headers } = await send();
    assert.equal(status, 200);
    const reached = pods.filter((pod, index) => pod.requests.length > (before[index] ?? 0));
    assert.equal(reached.length, 1, 'one pod was asked');
    assert.notEqual(reached[0], other(), 'and none of another model');
    assert.equal(headers['x-fairlead-model'], 'llama');
    assert.equal(headers['x-fairlead-backend'], 'pods');
    assert.match(String(headers['x-fairlead-endpoint']), /^pods-[01]$/);
    assert.equal(headers['x-fairlead-explain'], undefined);
    return reached[0]?.requests.at(-1)?.headers ?? assert.fail();
  }

  /** None of the internal headers but the gateway's own id of the exchange. */
  function assertClean(headers: Readonly<NodeJS.Dict<string[]>>): void {
    const internal = Object.keys(headers).filter(name =>
      /^(x-fairlead-|x-envoy-|x-gateway-|target-pod|fl-)/.test(name),
    );
    assert.deepEqual(internal, ['x-fairlead-id']);
    assert.notDeepEqual(headers['x-fairlead-id'], ['forged']);
    assert.ok(!JSON.stringify(headers).includes('forged'));
  }

  for (const name of Object.keys(FORGED)) {
    test(`${name}`, async () => {
      const value = forged(name);
      assertClean(await received(() => over1({ [name]: value })));
      assertClean(await received(() => over1({ [name.toUpperCase()]: [value, value] })));
    });
  }

  test('all at once, over HTTP/1 and HTTP/2', async () => {
    assertClean(await received(() => over1(allForged())));
    assertClean(await received(() => over2(allForged())));
  });

  test('all at once, behind the body', async () => {
    assertClean(await received(() => over2({}, allForged())));
  });

  test('a retry happens all the same, on the other endpoint', async () => {
    const [a, b] = pods;
    for (const [failing, healthy] of [
      [a, b],
      [b, a],
    ]) {
      failing?.fault({ kind: 'status', status: 503 });
      const before = healthy?.requests.length ?? 0;
      for (let count = 0; count < 4; count++) {
        assert.equal((await over1({ ...allForged(), 'routing-strategy': 'round-robin' })).status, 200);
      }
      assert.equal(healthy?.requests.length, before + 4);
      await failing?.clearFaults();
    }
  });

  test('credentials and questions are for the gateway alone', async () => {
    const headers = await received(() =>
      over1(Object.fromEntries(FOR_THE_GATEWAY.filter(name => name !== 'x-fairlead-explain').map(name => [name, '5']))),
    );
    assertClean(headers);
    for (const name of [...FOR_THE_GATEWAY, 'accept-encoding']) assert.equal(headers[name], undefined, name);
    const explained = await over1({ 'x-fairlead-explain': '1' });
    assert.ok(explained.headers['x-fairlead-explain']);
    for (const pod of pods) assert.equal(pod.requests.at(-1)?.headers['x-fairlead-explain'], undefined);
  });

  test('what names the model or the strategy is for the gateway alone', async () => {
    const headers = await received(() => over1({ 'x-model': 'llama', model: 'llama', 'routing-strategy': 'random' }));
    for (const name of ['x-model', 'model', 'routing-strategy']) assert.equal(headers[name], undefined, name);
  });

  test('all others pass as they are', async () => {
    const headers = await received(() => over1(FOR_THE_POD));
    for (const [name, value] of Object.entries(FOR_THE_POD)) assert.deepEqual(headers[name], [value], name);
    assert.deepEqual(headers.host, [`127.0.0.1:${gateway.port}`]);
  });
});
