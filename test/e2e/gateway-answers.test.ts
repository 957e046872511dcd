import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { assertAnthropicError, assertOpenAiError, type ExpectedError, send } from './harness/answer.ts';
import { Fleet, LLAMA } from './harness/fleet.ts';

const TYPED = 'application/vnd.fairlead+json';
const CHAT = { model: 'llama', messages: [{ role: 'user', content: 'Hi' }], max_tokens: 2 };

suite('what the gateway answers by itself: models, health, versions, methods', () => {
  let fleet: Fleet;
  let url: string;
  before(async () => {
    fleet = await Fleet.start();
    url = fleet.gateway.url;
  });
  after(() => fleet?.close());

  async function get(path: string, headers: Record<string, string> = {}) {
    const answer = await send(url, `GET ${path}`, { headers });
    assert.equal(answer.status, 200, answer.body);
    assert.equal(answer.headers.get('content-type'), 'application/json');
    assert.match(answer.headers.get('x-request-id') ?? '', /^[0-9a-f-]{36}$/);
    return JSON.parse(answer.body);
  }

  test('GET /v1/models lists every model once, by id, with type, aliases, owner and context', async () => {
    const { object, data } = await get('/v1/models');
    assert.equal(object, 'list');
    assert.deepEqual(
      data.map(({ id, type }: { id: string; type: string }) => [id, type]),
      [
        ['BAAI/bge-m3', 'text-embeddings'],
        [LLAMA, 'text-generation'],
        ['nobody', 'text-generation'],
        ['openai/whisper', 'automatic-speech-recognition'],
        ['public-name', 'text-generation'],
      ],
    );
    const { created, ...llama } = data[1];
    assert.ok(Number.isSafeInteger(created) && Math.abs(created * 1000 - Date.now()) < 3_600_000, 'Unix seconds');
    assert.deepEqual(llama, {
      id: LLAMA,
      object: 'model',
      owned_by: 'acme',
      type: 'text-generation',
      aliases: ['llama', 'team/llama', 'lama été'],
      max_context_length: 8192,
      version: '2',
    });
  });

  for (const name of [LLAMA, encodeURIComponent(LLAMA), 'llama', 'team/llama', 'llama@2', 'lama%20%C3%A9t%C3%A9']) {
    test(`GET /v1/models/${name} is that model`, async () => {
      const list = await get('/v1/models');
      assert.deepEqual(await get(`/v1/models/${name}`), list.data[1]);
    });
  }

  test('health: alive without extproc, ready with a table', async () => {
    assert.deepEqual(await get('/livez'), { status: 'ok' });
    const { table } = await fleet.gateway.node();
    for (const path of ['/readyz', '/health']) {
      assert.deepEqual(await get(path), { status: 'ok', table: table?.version });
    }
  });

  test('HEAD is GET without the body', async () => {
    for (const path of ['/v1/models', `/v1/models/${LLAMA}`, '/readyz', '/livez']) {
      const head = await send(url, `HEAD ${path}`);
      const full = await send(url, `GET ${path}`);
      assert.equal(head.status, 200);
      assert.equal(head.body, '');
      assert.equal(head.headers.get('content-length'), full.headers.get('content-length'));
    }
  });

  const SERVED: readonly [line: string, accept: string | undefined][] = [
    ['GET /v1/models?version=1', undefined],
    ['GET /v1/models', `${TYPED};version=1`],
    ['GET /models', `text/html, ${TYPED}; version="1"`],
    ['GET /models?version=1', undefined],
    ['GET /models?version=1', `${TYPED};version=1`],
    ['GET /v1/models', TYPED],
    ['GET /v1/models', 'application/vnd.other+json;version=9'],
    ['POST /chat/completions?version=1', undefined],
    ['POST /chat/llama?version=1', undefined],
  ];
  for (const [line, accept] of SERVED) {
    test(`${line} ${accept ?? ''} asks for version 1`, async () => {
      const answer = await send(url, line, {
        headers: accept === undefined ? {} : { accept },
        ...(line.startsWith('POST') && { body: CHAT }),
      });
      assert.equal(answer.status, 200, answer.body);
    });
  }

  const NO_SUCH_VERSION = 'This version of the API does not exist. Version 1 does: /v1/…';
  const TWO_VERSIONS = 'The request asks for two versions of the API. Ask for version 1 only.';
  const REFUSED: readonly [line: string, accept: string | undefined, message: string][] = [
    ['GET /v2/models', undefined, NO_SUCH_VERSION],
    ['GET /models?version=2', undefined, NO_SUCH_VERSION],
    ['GET /models?version=', undefined, NO_SUCH_VERSION],
    ['GET /models', `${TYPED};version=2`, NO_SUCH_VERSION],
    ['GET /v1/models', `${TYPED};version=2`, TWO_VERSIONS],
    ['GET /v1/models?version=2', undefined, TWO_VERSIONS],
    ['GET /v1/models?version=1&version=2', undefined, TWO_VERSIONS],
    ['POST /v2/chat/completions', undefined, NO_SUCH_VERSION],
    ['POST /v1/chat/completions?version=x', undefined, TWO_VERSIONS],
  ];
  for (const [line, accept, message] of REFUSED) {
    test(`${line} ${accept ?? ''} is refused`, async () => {
      const headers = accept === undefined ? {} : { accept };
      const answer = await send(url, line, { headers, ...(line.startsWith('POST') && { body: CHAT }) });
      assertOpenAiError(answer, { status: 400, code: 'unsupported_version', param: 'version', message });
    });
  }

  const WRONG_METHOD: readonly [path: string, allow: string, methods: readonly string[]][] = [
    ['/v1/chat/completions', 'POST', ['GET', 'HEAD', 'OPTIONS', 'PUT', 'PATCH', 'DELETE']],
    ['/v1/chat/llama', 'POST', ['GET', 'PUT']],
    ['/v1/embeddings/BAAI/bge-m3', 'POST', ['GET']],
    ['/v1/audio/transcriptions', 'POST', ['GET', 'OPTIONS']],
    ['/v1/models', 'GET, HEAD', ['POST', 'OPTIONS', 'PUT', 'DELETE']],
    [`/v1/models/${LLAMA}`, 'GET, HEAD', ['DELETE', 'POST']],
    ['/readyz', 'GET, HEAD', ['POST', 'OPTIONS']],
    ['/health', 'GET, HEAD', ['PUT']],
  ];
  for (const [path, allow, methods] of WRONG_METHOD) {
    test(`${path} answers ${allow}, and 405 to ${methods.join(', ')}`, async () => {
      for (const method of methods) {
        const answer = await send(
          url,
          `${method} ${path}`,
          method === 'GET' || method === 'HEAD' ? {} : { body: '{}' },
        );
        assert.equal(answer.status, 405);
        assert.equal(answer.headers.get('allow'), allow);
        const message = `This endpoint does not answer that method. It answers ${allow}.`;
        if (method !== 'HEAD') assertOpenAiError(answer, { status: 405, code: 'method_not_allowed', message });
      }
    });
  }

  const NOWHERE: readonly [line: string, error: Omit<ExpectedError, 'status'>][] = [
    ['GET /', { code: 'route_not_found', message: 'No such endpoint: GET /. The OpenAI endpoints are under /v1/.' }],
    ['GET /v1', { code: 'route_not_found', message: /^No such endpoint: GET \/v1\./ }],
    ['POST /v1/nothing', { code: 'route_not_found', message: /^No such endpoint: POST \/v1\/nothing\./ }],
    ['POST /chat/completions', { code: 'route_not_found', message: /Did you mean \/v1\/chat\/completions\?$/ }],
    ['POST /v1/v1/embeddings', { code: 'route_not_found', message: /Did you mean \/v1\/embeddings\?$/ }],
    ['POST /v1/Chat/Completions', { code: 'route_not_found', message: /^No such endpoint/ }],
    ['GET /metrics', { code: 'route_not_found', message: /^No such endpoint/ }],
    ['GET /v1/models/nope', { code: 'model_not_found', param: 'model', message: 'Model not found: nope' }],
    ['GET /v1/models/llama@3', { code: 'model_not_found', param: 'model', message: 'Model not found: llama@3' }],
  ];
  for (const [line, error] of NOWHERE) {
    test(`${line} is 404 ${error.code}`, async () => {
      const answer = await send(url, line, line.startsWith('POST') ? { body: CHAT } : {});
      assertOpenAiError(answer, { status: 404, ...error });
    });
  }

  test('a path that is long or hostile is not repeated whole', async () => {
    const answer = await send(url, `GET /${'x'.repeat(5_000)}`);
    assertOpenAiError(answer, { status: 404, code: 'route_not_found', message: /^No such endpoint: GET \/x{99}…\. / });
  });

  test('on Anthropic’s endpoint, the same in Anthropic’s shape', async () => {
    assertAnthropicError(await send(url, 'GET /v1/messages'), {
      status: 405,
      message: 'This endpoint does not answer that method. It answers POST.',
    });
    assertAnthropicError(await send(url, 'POST /v1/messages?version=2', { body: CHAT }), {
      status: 400,
      message: TWO_VERSIONS,
    });
    const unknown = { status: 404, type: 'not_found_error', message: 'Model not found: nope' };
    for (const line of ['POST /v1/messages', 'POST /messages?version=1', 'POST /v1/messages/nope']) {
      assertAnthropicError(await send(url, line, { body: { ...CHAT, model: 'nope' } }), unknown);
    }
  });
});
