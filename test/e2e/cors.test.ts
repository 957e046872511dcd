import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { type Answer, assertOpenAiError, send } from './harness/answer.ts';
import { Fleet, LLAMA } from './harness/fleet.ts';
import { until } from './harness/until.ts';

const ALLOWED = 'https://app.example.com';
const CHAT = { model: LLAMA, messages: [{ role: 'user', content: 'Hi' }], max_tokens: 3 };
const PREFLIGHT = {
  'access-control-request-method': 'POST',
  'access-control-request-headers': 'authorization,content-type,x-stainless-os',
};

/** Everything that an answer says to a browser about pages of other origins. */
function corsHeaders({ headers }: Answer): string[] {
  return [...headers.keys()].filter(name => name.startsWith('access-control-'));
}

suite('pages of other origins', () => {
  let fleet: Fleet;
  let url: string;
  const from = (origin: string, headers: Record<string, string> = {}) => ({ headers: { origin, ...headers } });

  before(async () => {
    const cors = { allowOrigins: [ALLOWED, 'https://*.example.org', 'http://localhost:3000'] };
    fleet = await Fleet.start({ gateway: { cors } });
    url = fleet.gateway.url;
  });
  after(() => fleet?.close());

  test('a preflight is answered at once and reaches neither extproc nor a pod', async () => {
    const requests = fleet.requestCount;
    const answer = await send(url, 'OPTIONS /v1/chat/completions', from(ALLOWED, PREFLIGHT));
    assert.equal(answer.status, 200);
    assert.equal(answer.headers.get('access-control-allow-origin'), ALLOWED);
    assert.equal(answer.headers.get('access-control-allow-methods'), 'GET, POST, OPTIONS');
    assert.equal(answer.headers.get('access-control-allow-headers'), 'authorization, *');
    assert.equal(answer.headers.get('access-control-max-age'), '7200');
    assert.equal(answer.headers.get('access-control-allow-credentials'), null);
    assert.equal(fleet.requestCount, requests);
    const record = await until('the access record', () =>
      fleet.gateway.accessLog().find(({ method }) => method === 'OPTIONS'),
    );
    assert.deepEqual(
      [record.model, record.id, record.upstream].map(value => value ?? ''),
      ['', '', ''],
    );
  });

  test('a page may read the answer, and the headers that say who gave it', async () => {
    const answer = await send(url, 'POST /v1/chat/completions', { ...from(ALLOWED), body: CHAT });
    assert.equal(answer.status, 200);
    assert.equal(answer.headers.get('access-control-allow-origin'), ALLOWED);
    const exposed = answer.headers.get('access-control-expose-headers')?.split(', ') ?? [];
    for (const name of ['x-request-id', 'x-fairlead-model', 'x-fairlead-endpoint', 'retry-after']) {
      assert.ok(exposed.includes(name), name);
    }
    assert.equal(answer.headers.get('vary'), 'origin');
  });

  test('a stream carries the headers too', async () => {
    const answer = await send(url, 'POST /v1/chat/completions', { ...from(ALLOWED), body: { ...CHAT, stream: true } });
    assert.equal(answer.headers.get('access-control-allow-origin'), ALLOWED);
    assert.equal(answer.headers.get('content-type')?.split(';')[0], 'text/event-stream');
    assert.ok(answer.body.endsWith('data: [DONE]\n\n'));
  });

  const errors: [what: string, path: string, body: unknown, status: number, code: string][] = [
    ['extproc', '/v1/chat/completions', { ...CHAT, model: 'none' }, 404, 'model_not_found'],
    ['extproc before the body', '/v1/nothing', CHAT, 404, 'route_not_found'],
    [
      'Envoy, for an endpoint that is dead',
      '/v1/chat/completions',
      { ...CHAT, model: 'nobody' },
      503,
      'no_ready_endpoints',
    ],
  ];
  for (const [who, path, body, status, code] of errors) {
    test(`a page may read an error of ${who}`, async () => {
      const answer = await send(url, `POST ${path}`, { ...from(ALLOWED), body });
      assert.equal(answer.status, status, answer.body);
      assert.equal(JSON.parse(answer.body).error.code, code);
      assert.equal(answer.headers.get('access-control-allow-origin'), ALLOWED);
    });
  }

  const origins: [origin: string, allowed: boolean][] = [
    ['https://a.example.org', true],
    ['https://b.a.example.org', true],
    ['http://localhost:3000', true],
    ['https://example.org', false],
    ['http://a.example.org', false],
    ['https://a.example.org.evil.com', false],
    ['https://evilexample.org', false],
    ['https://evil.com/.example.org', false],
    ['https://a.example.org:8443', false],
    ['https://appXexample.com', false],
    ['http://localhost:3001', false],
    ['null', false],
    ['*', false],
  ];
  for (const [origin, allowed] of origins) {
    test(`${origin} is ${allowed ? 'allowed' : 'not allowed'}`, async () => {
      const preflight = await send(url, 'OPTIONS /v1/models', from(origin, PREFLIGHT));
      const actual = await send(url, 'POST /v1/chat/completions', { ...from(origin), body: CHAT });
      assert.equal(actual.status, 200, 'who is no browser is not stopped');
      for (const answer of [preflight, actual]) {
        assert.equal(answer.headers.get('access-control-allow-origin'), allowed ? origin : null);
      }
      // To a preflight Envoy says the rest all the same, which without the origin allows nothing.
      if (!allowed) assert.deepEqual(corsHeaders(actual), []);
    });
  }

  test('changed origins hold without a closed connection', async () => {
    const other = 'https://other.example';
    const ports = { listeners: [{ name: 'http', port: fleet.gateway.port }] };
    const allowed = async (origin: string) => {
      const { headers } = await send(url, 'GET /v1/models', from(origin));
      return headers.get('access-control-allow-origin');
    };
    fleet.gateway.writeGateway({ ...ports, cors: { allowOrigins: ['*'] } });
    await until('every origin', async () => (await allowed(other)) === other);
    fleet.gateway.writeGateway({ ...ports, cors: { allowOrigins: [] } });
    await until('no origin', async () => (await allowed(other)) === null);
    const answer = await send(url, 'POST /v1/chat/completions', { ...from(ALLOWED), body: CHAT });
    assert.deepEqual(corsHeaders(answer), []);
    assert.equal(answer.headers.get('vary'), null);
    const refused = await send(url, 'OPTIONS /v1/chat/completions', from(ALLOWED, PREFLIGHT));
    assertOpenAiError(refused, { status: 405, code: 'method_not_allowed', message: /POST/ });
  });
});
