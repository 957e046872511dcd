import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, afterEach, before, test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { type SampleModel, sampleTable } from '../../agent/envoy/sample-table.fixture.ts';
import { routeProfile } from '../../agent/table/route-profile.ts';
import { LimitSchema } from '../../proto/gen/fairlead/v1/table_pb.js';
import { type Answer, ask } from './exchange.ts';
import { type Script, ScriptedExtproc } from './scripted-extproc.ts';
import { StaticEnvoy } from './static-envoy.ts';

// What the configuration does once extproc has said where a request goes; extproc itself is a script here.

const MAX_BODY_BYTES = 2_000_000;
const HEADERS_MS = 300;
/** Longest gap is as long as the wait for headers, and longer: the two ways that waits() knows. */
const GAPS = { even: HEADERS_MS, longer: 600 } as const;

interface Pod {
  readonly address: string;
  readonly server: Server;
  behave: (request: IncomingMessage, response: ServerResponse) => void;
  readonly requests: { headers: IncomingMessage['headers']; bytes: number }[];
}

const extproc = new ScriptedExtproc();
const profiles = new Map<string, string>();
let envoy: StaticEnvoy;
let pods: Pod[];
/** Nobody listens there. */
let dead: string;

before(async () => {
  pods = [await startPod('127.0.0.1'), await startPod('127.0.0.2'), await startPod('127.0.0.3')];
  dead = `127.0.0.9:${(pod(0).server.address() as AddressInfo).port}`;
  const endpoints = [
    ...pods.map(({ address }, index) => [address, `pod-${index}`] as const),
    [dead, 'pod-dead'] as const,
  ];
  const models = Object.fromEntries(
    Object.entries(GAPS).map(([name, idleMs]): [string, SampleModel] => [
      `ml/${name}`,
      {
        timeouts: { connectMs: 1_000, requestMs: 10_000, headersMs: HEADERS_MS, idleMs },
        backends: { main: endpoints },
      },
    ]),
  );
  for (const [name, model] of sampleTable(models).models) profiles.set(name, routeProfile(model));
  const limits = [create(LimitSchema, { amount: 1n })];
  envoy = await StaticEnvoy.start({ models, gateway: { maxBodyBytes: MAX_BODY_BYTES, limits } });
  await extproc.listen(envoy.extprocSocket);
});

after(async () => {
  await envoy.stop();
  await extproc.close();
  for (const { server } of pods) {
    server.closeAllConnections();
    server.close();
  }
});

afterEach(() => {
  extproc.script = undefined;
  extproc.refusal = undefined;
  for (const each of pods) {
    each.behave = answer;
    each.requests.length = 0;
  }
  assert.deepEqual(envoy.bugs, []);
});

function answer(_request: IncomingMessage, response: ServerResponse): void {
  response.setHeader('content-type', 'application/json');
  response.setHeader('x-fairlead-explain', 'forged by the pod');
  response.setHeader('x-ratelimit-remaining-tokens', '7');
  response.end('{"object":"chat.completion","usage":{"prompt_tokens":11,"completion_tokens":7,"total_tokens":18}}');
}

async function startPod(host: string): Promise<Pod> {
  const server = createServer(async (request, response) => {
    let bytes = 0;
    for await (const chunk of request) bytes += chunk.length;
    pod.requests.push({ headers: request.headers, bytes });
    pod.behave(request, response);
  });
  server.listen(0, host);
  await once(server, 'listening');
  const pod: Pod = {
    address: `${host}:${(server.address() as AddressInfo).port}`,
    server,
    behave: answer,
    requests: [],
  };
  return pod;
}

function pod(index: number): Pod {
  return pods[index] ?? assert.fail();
}

/** Sends one request to these candidates, by what the script adds to that. */
function send(
  candidates: readonly string[],
  script: Partial<Script> = {},
  body: string | Buffer = '{}',
): Promise<Answer> {
  const cluster = script.cluster ?? 'ml/even';
  extproc.script = { cluster, profile: profiles.get(cluster) ?? assert.fail(), candidates, ...script };
  return ask(envoy.port, { path: '/v1/chat/completions', body, headers: SENT });
}

const SENT = {
  'content-type': 'application/json',
  authorization: 'Bearer key',
  cookie: 'c=1',
  'x-fairlead-explain': '1',
  'x-fairlead-cluster': 'ml/other',
  'x-gateway-destination-endpoint': '192.0.2.1:1',
  'x-envoy-retry-on': '5xx',
  'accept-encoding': 'gzip',
};

function codeIn({ body }: Answer): unknown {
  return JSON.parse(body).error.code;
}

test('the request goes to the picked pod; who answered is told, the inside is not', async () => {
  const { status, headers } = await send([pod(1).address], { metadata: { explain: '{"s":1}' } });
  assert.equal(status, 200);
  const told = ['x-fairlead-model', 'x-fairlead-backend', 'x-fairlead-endpoint', 'x-fairlead-explain'];
  assert.deepEqual(
    told.map(name => headers[name]),
    ['llama', 'main', 'pod-1', '{"s":1}'],
  );
  assert.ok(!Object.keys(headers).some(name => name.startsWith('x-envoy-')));
  const [got] = pod(1).requests;
  const inside = Object.keys(got?.headers ?? {}).filter(name => /^x-(fairlead|envoy|gateway)|^auth|^accept/.test(name));
  assert.deepEqual(inside, []);
  assert.equal(got?.headers.cookie, undefined);
});

test('extproc is shown what it reads, of the client’s own headers only the allowed', async () => {
  await send([pod(0).address]);
  const { shown } = extproc;
  assert.equal(shown?.get('authorization'), 'Bearer key');
  assert.equal(shown?.get('x-fairlead-explain'), '1');
  for (const name of ['cookie', 'x-fairlead-cluster', 'x-gateway-destination-endpoint', 'x-envoy-retry-on']) {
    assert.equal(shown?.get(name), undefined, name);
  }
});

test('an explanation that was not asked for is not there, not even the pod’s own', async () => {
  assert.equal((await send([pod(0).address])).headers['x-fairlead-explain'], undefined);
});

test('the client is told of its limits by the gateway, and by no pod', async () => {
  const told = (headers: Answer['headers']) =>
    Object.fromEntries(Object.entries(headers).filter(([name]) => name.startsWith('x-ratelimit-')));
  assert.deepEqual(told((await send([pod(0).address])).headers), {});
  const metadata = { rl_limit_requests: '100', rl_remaining_requests: '99', rl_reset_requests: '600ms' };
  assert.deepEqual(told((await send([pod(0).address], { metadata })).headers), {
    'x-ratelimit-limit-requests': '100',
    'x-ratelimit-remaining-requests': '99',
    'x-ratelimit-reset-requests': '600ms',
  });
});

test('a dead pod, then a busy one, then one that answers', async () => {
  pod(0).behave = (_, response) => response.writeHead(503).end('busy');
  const { status, headers } = await send([dead, pod(0).address, pod(1).address]);
  assert.equal(status, 200);
  assert.equal(headers['x-fairlead-endpoint'], 'pod-1');
  assert.deepEqual([pod(0).requests.length, pod(1).requests.length], [1, 1]);
});

test('no more attempts than allowed: none without leave', async () => {
  const got = await send([dead, pod(0).address], { retries: 0 });
  assert.equal(got.status, 503);
  assert.equal(codeIn(got), 'no_ready_endpoints');
  assert.equal(pod(0).requests.length, 0);
});

test('nobody but the candidates is asked, though others would answer', async () => {
  pod(0).behave = request => request.socket.destroy();
  const cases: [candidates: string[], retries: number, code: string][] = [
    [[pod(0).address], 2, 'no_ready_endpoints'],
    [[dead], 2, 'no_ready_endpoints'],
    [['192.0.2.1:80'], 0, 'no_ready_endpoints'],
    [[], 0, 'no_ready_endpoints'],
  ];
  for (const [candidates, retries, code] of cases) assert.equal(codeIn(await send(candidates, { retries })), code);
  assert.deepEqual([pod(1).requests.length, pod(2).requests.length], [0, 0]);
});

test('a pod’s own 400, 500 and 502 pass, without another attempt', async () => {
  for (const status of [400, 500, 502]) {
    pod(0).behave = (_, response) => response.writeHead(status).end('mine');
    const got = await send([pod(0).address, pod(1).address]);
    assert.deepEqual([got.status, got.body], [status, 'mine']);
  }
  assert.equal(pod(1).requests.length, 0);
});

test('a lost connection is 502, nonsense for an answer as well', async () => {
  pod(0).behave = request => request.socket.destroy();
  assert.equal(codeIn(await send([pod(0).address])), 'upstream_reset');
  pod(0).behave = request => request.socket.end('nonsense\r\n\r\n');
  assert.equal(codeIn(await send([pod(0).address])), 'upstream_error');
});

for (const cluster of Object.keys(GAPS).map(name => `ml/${name}`)) {
  test(`${cluster}: a pod that does not begin its answer is left for the next, the last one is 504`, async () => {
    pod(0).behave = () => {};
    pod(1).behave = () => {};
    assert.equal((await send([pod(0).address, pod(2).address], { cluster })).headers['x-fairlead-endpoint'], 'pod-2');
    assert.equal(codeIn(await send([pod(0).address, pod(1).address], { cluster })), 'upstream_headers_timeout');
  });

  test(`${cluster}: an answer that stops is cut, one that goes on slowly is not`, async () => {
    pod(0).behave = (_, response) => response.write('data: 1\n\n');
    assert.equal((await send([pod(0).address], { cluster })).cut, true);
    // In all longer than the wait for headers or a gap, in no gap as long.
    pod(0).behave = (_, response) => {
      let left = 8;
      const timer = setInterval(() => {
        response.write('data: 1\n\n');
        if (--left === 0) response.end();
        if (left === 0) clearInterval(timer);
      }, HEADERS_MS / 3);
      response.flushHeaders();
    };
    const got = await send([pod(0).address], { cluster });
    assert.equal(got.cut, false);
    assert.equal(got.body.length, 8 * 'data: 1\n\n'.length);
  });
}

test('a body up to the limit is kept for the next pod, and may grow by a model’s name', async () => {
  const body = Buffer.alloc(MAX_BODY_BYTES, 'a');
  assert.equal((await send([dead, pod(0).address], {}, body)).status, 200);
  const longer = (received: Uint8Array) => Buffer.concat([received, Buffer.alloc(300, 'b')]);
  assert.equal((await send([dead, pod(0).address], { body: longer }, body)).status, 200);
  assert.deepEqual(
    pod(0).requests.map(({ bytes }) => bytes),
    [MAX_BODY_BYTES, MAX_BODY_BYTES + 300],
  );
});

test('a body far over the limit is 413, whether it says its length or not', async () => {
  const body = Buffer.alloc(MAX_BODY_BYTES + 10_000, 'a');
  assert.equal(codeIn(await send([pod(0).address], {}, body)), 'request_too_large');
  const chunked = { ...SENT, 'transfer-encoding': 'chunked' };
  const got = await ask(envoy.port, { path: '/v1/messages', body, headers: chunked });
  assert.equal(got.status, 413);
  assert.equal(JSON.parse(got.body).error.type, 'request_too_large');
  assert.equal(pod(0).requests.length, 0);
});

test('what extproc refuses reaches the client as extproc wrote it', async () => {
  const body = '{"error":{"code":"model_not_found","message":"100% gone"}}';
  const headers = { 'content-type': 'application/json', 'x-fairlead-explain': 'none' };
  for (const status of [400, 404, 429, 503]) {
    extproc.refusal = { status, headers, body, details: 'fairlead_model_not_found' };
    const got = await ask(envoy.port, { path: '/v1/chat/completions', body: '{}' });
    assert.deepEqual([got.status, got.body, got.headers['content-type']], [status, body, 'application/json']);
    assert.equal(got.headers['x-fairlead-explain'], 'none');
  }
});

test('without the mark nothing passes', async () => {
  const got = await ask(envoy.port, { path: '/v1/chat/completions', body: '{}' });
  assert.equal(codeIn(got), 'gateway_unavailable');
});

test('the access log names request, model, pod and tokens', async () => {
  await send([dead, pod(1).address], { metadata: { id: 'x-1', consumer: 'ml/ann', runtime: 'vllm' } });
  const record = await envoy.accessRecord('x-1');
  const expected = {
    consumer: 'ml/ann',
    model: 'llama',
    runtime: 'vllm',
    backend: 'main',
    pod: 'pod-1',
    code: 200,
    attempts: 2,
    input_tokens: 11,
    output_tokens: 7,
    path: '/v1/chat/completions',
  };
  for (const [field, value] of Object.entries(expected)) assert.equal(record[field], value, field);
});
