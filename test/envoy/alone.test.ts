import assert from 'node:assert/strict';
import { connect as connectHttp2 } from 'node:http2';
import { after, before, test } from 'node:test';
import { ERRORS, type ErrorCode } from '../../errors/codes.ts';
import { type Answer, ask, askRaw } from './exchange.ts';
import { StaticEnvoy } from './static-envoy.ts';

/** An Envoy whose extproc is away: what it says by itself. */
let envoy: StaticEnvoy;

const MAX_BODY_BYTES = 100_000;

before(async () => {
  envoy = await StaticEnvoy.start({
    gateway: { maxBodyBytes: MAX_BODY_BYTES, clientHeadersMs: 200, clientUploadMs: 300 },
  });
});
after(() => envoy.stop());

function assertOpenAi(answer: Answer, code: ErrorCode): void {
  assertHeaders(answer, code);
  const { error } = JSON.parse(answer.body);
  assert.equal(error.code, code);
  assert.equal(error.type, ERRORS[code].type);
}

function assertAnthropic(answer: Answer, code: ErrorCode, type: string): void {
  assertHeaders(answer, code);
  assert.deepEqual(JSON.parse(answer.body), { type: 'error', error: { type, message: ERRORS[code].message } });
}

function assertHeaders({ status, headers }: Answer, code: ErrorCode): void {
  const spec: { status: number; retryAfterSeconds?: number } = ERRORS[code];
  assert.equal(status, spec.status);
  assert.equal(headers['content-type'], 'application/json');
  assert.equal(headers['retry-after'], spec.retryAfterSeconds?.toString());
}

const POST = { headers: { 'content-type': 'application/json' }, body: '{"model":"m"}' };

test('/livez is answered without extproc', async () => {
  const answer = await ask(envoy.port, { method: 'GET', path: '/livez' });
  assert.equal(answer.status, 200);
  assert.equal(answer.headers['content-type'], 'application/json');
  assert.deepEqual(JSON.parse(answer.body), { status: 'ok' });
});

test('nothing else passes: 503 in the shape that the caller reads', async () => {
  assertOpenAi(await ask(envoy.port, { path: '/v1/chat/completions', ...POST }), 'gateway_unavailable');
  assertOpenAi(await ask(envoy.port, { method: 'GET', path: '/v1/models' }), 'gateway_unavailable');
  for (const path of ['/v1/messages', '/v1/messages?beta=true', '/v1/messages/llama', '//v1//messages']) {
    assertAnthropic(await ask(envoy.port, { path, ...POST }), 'gateway_unavailable', 'overloaded_error');
  }
});

test('a client cannot admit itself, name a cluster or its own retries', async () => {
  const headers = {
    ...POST.headers,
    'x-fairlead-cluster': 'xp',
    'x-fairlead-admitted': '1',
    'x-envoy-max-retries': '3',
  };
  assertOpenAi(await ask(envoy.port, { ...POST, path: '/v1/chat/completions', headers }), 'gateway_unavailable');
});

test('every answer has a request id, the client’s own where it sent one', async () => {
  const answers = [
    await ask(envoy.port, { method: 'GET', path: '/livez' }),
    await ask(envoy.port, { path: '/v1/embeddings', ...POST, headers: { 'x-request-id': 'mine' } }),
  ];
  assert.match(String(answers[0]?.headers['x-request-id']), /^[0-9a-f-]{36}$/);
  assert.equal(answers[1]?.headers['x-request-id'], 'mine');
});

const LONG = 'x'.repeat(70_000);
const HOST = 'host: gateway\r\n';

const RAW: Readonly<Record<string, readonly [bytes: string, code: ErrorCode]>> = {
  'what is not HTTP': ['GARBAGE\r\n\r\n', 'bad_request'],
  'no host': ['GET /v1/models HTTP/1.1\r\n\r\n', 'bad_request'],
  'a content-length that is no number': [`POST /v1/x HTTP/1.1\r\n${HOST}content-length: abc\r\n\r\n`, 'bad_request'],
  'two framings': [
    `POST /v1/x HTTP/1.1\r\n${HOST}content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`,
    'bad_request',
  ],
  'a bad chunk': [`POST /v1/x HTTP/1.1\r\n${HOST}transfer-encoding: chunked\r\n\r\nzz\r\n\r\n`, 'bad_request'],
  'a zero byte in a header': [`GET /v1/models HTTP/1.1\r\n${HOST}a: b\0c\r\n\r\n`, 'bad_request'],
  'a zero byte in the path': [`GET /v1/%00 HTTP/1.1\r\n${HOST}\r\n`, 'bad_request'],
  'HTTP/1.0': ['GET /v1/models HTTP/1.0\r\n\r\n', 'upgrade_required'],
  'a header that is too large': [`GET /v1/models HTTP/1.1\r\n${HOST}a: ${LONG}\r\n\r\n`, 'headers_too_large'],
  'too many headers': [
    `GET /v1/models HTTP/1.1\r\n${HOST}${Array.from({ length: 120 }, (_, i) => `h${i}: 1\r\n`).join('')}\r\n`,
    'headers_too_large',
  ],
  'headers that do not end': [`GET /v1/models HTTP/1.1\r\n${HOST}`, 'request_timeout'],
};

for (const [name, [bytes, code]] of Object.entries(RAW)) {
  test(`${name}: ${ERRORS[code].status} ${code}`, async () => assertOpenAi(await askRaw(envoy.port, bytes), code));
}

test('a WebSocket is not opened', async () => {
  const headers = { connection: 'upgrade', upgrade: 'websocket' };
  assertOpenAi(await ask(envoy.port, { method: 'GET', path: '/v1/realtime', headers }), 'upgrade_not_allowed');
});

test('overload sheds requests before they cost anything', async () => {
  const overloaded = await StaticEnvoy.start({
    edit({ overloadManager }) {
      // A heap that is full from the start, which only refuses requests: readiness still answers.
      const action = overloadManager?.actions?.find(({ name }) => name?.endsWith('stop_accepting_requests'));
      const [monitor] = overloadManager?.resourceMonitors ?? [];
      assert.ok(overloadManager && action && monitor);
      overloadManager.actions = [action];
      overloadManager.resourceMonitors = [
        { ...monitor, typedConfig: { ...monitor.typedConfig, maxHeapSizeBytes: '1' } as object },
      ];
    },
  });
  try {
    // The first reading of the heap comes a quarter of a second after the start.
    let answer = await ask(overloaded.port, { path: '/v1/messages', ...POST });
    while (JSON.parse(answer.body).error.message === ERRORS.gateway_unavailable.message) {
      answer = await ask(overloaded.port, { path: '/v1/messages', ...POST });
    }
    assertAnthropic(answer, 'overloaded', 'overloaded_error');
  } finally {
    await overloaded.stop();
  }
});

test('HTTP/2 without TLS is served, too; a header that is too large resets that stream alone', async () => {
  const session = connectHttp2(`http://127.0.0.1:${envoy.port}`);
  try {
    const status = (headers: Record<string, string>) =>
      new Promise<number | string>(resolve => {
        const stream = session.request(headers);
        stream.on('response', response => resolve(response[':status'] ?? 0));
        stream.on('error', (error: Error) => resolve(error.message));
        stream.resume();
      });
    assert.match(String(await status({ ':path': '/livez', a: LONG })), /REFUSED_STREAM|INTERNAL_ERROR/);
    assert.equal(await status({ ':path': '/livez' }), 200);
  } finally {
    session.destroy();
  }
});
