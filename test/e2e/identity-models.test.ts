import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { type Answer, assertAnthropicError, assertOpenAiError, send } from './harness/answer.ts';
import { bearer, consumer, type MadeKey, makeKey } from './harness/consumer.ts';
import { Fleet, LLAMA, UPSTREAM_NAME } from './harness/fleet.ts';
import { answerToHead } from './harness/head-only.ts';
import { until } from './harness/until.ts';

const CHAT = 'POST /v1/chat/completions';
const MESSAGES = 'POST /v1/messages';
const chat = (model?: string) => ({ model, messages: [{ role: 'user', content: 'Hi' }], max_tokens: 2 });
const ALL = ['BAAI/bge-m3', LLAMA, 'nobody', 'openai/whisper', 'public-name'];

/** What each consumer is allowed, and which models that is. */
const ALLOWED: Readonly<Record<string, readonly [models: readonly string[] | undefined, ids: readonly string[]]>> = {
  everything: [undefined, ALL],
  star: [['*'], ALL],
  nothing: [[], []],
  'by-id': [[LLAMA], [LLAMA]],
  'by-alias': [['team/llama'], [LLAMA]],
  'by-version': [['llama@2'], [LLAMA]],
  'by-other-version': [['llama@3'], []],
  'by-glob': [
    ['meta-llama/*', '*-m3'],
    ['BAAI/bge-m3', LLAMA],
  ],
  'by-upstream-name': [[UPSTREAM_NAME], []],
  renamed: [['public-name'], ['public-name']],
};

suite('what a consumer may use', () => {
  let fleet: Fleet;
  const keys = new Map<string, MadeKey>(Object.keys(ALLOWED).map(name => [name, makeKey()]));
  const explainer = makeKey();
  const headersOf = (name: string): Record<string, string> => ({ ...bearer(keys.get(name)?.key ?? assert.fail()) });
  const ask = (name: string, line: string, body?: object | string, headers: Record<string, string> = {}) =>
    send(fleet.gateway.url, line, { headers: { ...headersOf(name), ...headers }, body });
  const writeGateway = (more: object = {}) =>
    fleet.gateway.writeGateway({
      listeners: [{ name: 'http', port: fleet.gateway.port }],
      authentication: { mode: 'apiKeys' },
      explain: { allow: false },
      ...more,
    });

  before(async () => {
    fleet = await Fleet.start({ gateway: { authentication: { mode: 'apiKeys' }, explain: { allow: false } } });
    fleet.gateway.write('consumers.yaml', [
      ...Object.entries(ALLOWED).map(([name, [models]]) =>
        consumer(name, { apiKeys: [{ sha256: keys.get(name)?.sha256 }], ...(models && { models }) }),
      ),
      consumer('explainer', { apiKeys: [{ sha256: explainer.sha256 }], explain: { allow: true } }),
    ]);
    await until('keys are taken', async () => (await ask('everything', 'GET /v1/models')).status === 200);
  });
  after(() => fleet?.close());

  for (const [name, [models, ids]] of Object.entries(ALLOWED)) {
    test(`${models === undefined ? 'all' : JSON.stringify(models)}: shown and served are ${ids.length} models`, async () => {
      const { data } = JSON.parse((await ask(name, 'GET /v1/models')).body);
      assert.deepEqual(
        data.map(({ id }: { id: string }) => id),
        ids,
      );
      for (const id of ALL) {
        const expected = ids.includes(id) ? 200 : 403;
        assert.equal((await ask(name, `GET /v1/models/${id}`)).status, expected, id);
        assert.equal((await ask(name, `GET /v1/models/${encodeURIComponent(id)}`)).status, expected, id);
      }
      const before = fleet.requestCount;
      for (const id of ['llama', 'team/llama', 'llama@2', LLAMA]) {
        assert.equal((await ask(name, CHAT, chat(id))).status, ids.includes(LLAMA) ? 200 : 403, id);
      }
      assert.equal(fleet.requestCount - before, ids.includes(LLAMA) ? 4 : 0);
      const { models: used } = JSON.parse((await ask(name, 'GET /v1/usage')).body);
      for (const { model } of used) assert.ok(ids.includes(model), model);
    });
  }

  /** Ways to name a model that is not allowed, or to seem to name one that is. */
  const encoded = encodeURIComponent(LLAMA);
  const WAYS: Readonly<
    Record<string, readonly [line: string, body: object | string, headers?: Record<string, string>]>
  > = {
    'its id in the body': [CHAT, chat(LLAMA)],
    'an alias': [CHAT, chat('team/llama')],
    'an alias with spaces and accents': [CHAT, chat('lama été')],
    'a version': [CHAT, chat(`${LLAMA}@2`)],
    'the header x-model': [CHAT, chat(), { 'x-model': 'llama' }],
    'the header model': [CHAT, chat(), { model: 'llama' }],
    'the path': [`${CHAT}/llama`, chat()],
    'the short path': ['POST /v1/chat/llama', chat()],
    'a path with slashes': [`${CHAT}/${LLAMA}`, chat()],
    'a path with %2F': [`${CHAT}/${encoded}`, chat()],
    'a path with %2f': [`${CHAT}/${encoded.replace('%2F', '%2f')}`, chat()],
    'an escaped letter': [`${CHAT}/%6clama`, chat()],
    'a path escaped twice': [`${CHAT}/${encoded.replace('%2F', '%252F')}`, chat()],
    'a path with doubled slashes': ['POST /v1//chat/completions//llama', chat()],
    'a path that climbs': ['POST /v1/chat/completions/public-name/../llama', chat()],
    'a path that climbs in disguise': ['POST /v1/chat/completions/public-name/%2e%2e/llama', chat()],
    'a path that climbs behind %2F': ['POST /v1/chat/completions/public-name%2F..%2Fllama', chat()],
    'a query': [`${CHAT}?model=public-name`, chat('llama')],
    'another endpoint': ['POST /v1/completions', { model: 'llama', prompt: 'Hi', max_tokens: 2 }],
    'the Anthropic endpoint': [MESSAGES, chat('llama')],
    'embeddings of another': ['POST /v1/embeddings', { model: 'BAAI/bge-m3', input: 'Hi' }],
    'an allowed one in the header': [CHAT, chat('llama'), { 'x-model': 'public-name' }],
    'an allowed one in the path': [`${CHAT}/public-name`, chat('llama')],
    'an allowed one in the body, another in the path': [`${CHAT}/llama`, chat('public-name')],
    'an allowed one in the body, another in the header': [CHAT, chat('public-name'), { 'x-model': 'llama' }],
    'two headers': [CHAT, chat(), { 'x-model': 'public-name', model: 'llama' }],
    'the name that its pods know': [CHAT, chat(UPSTREAM_NAME)],
    'two names in the body': [CHAT, '{"model":"public-name","messages":[],"model":"llama"}'],
    'an escaped name in the body': [CHAT, '{"mod\\u0065l":"ll\\u0061ma","messages":[]}'],
  };
  for (const [what, [line, body, headers]] of Object.entries(WAYS)) {
    test(`${what} leads to no model that is not allowed`, async () => {
      const before = fleet.requestCount;
      const { status, body: text } = await ask('renamed', line, body, headers);
      assert.ok([400, 403, 404].includes(status), `${status} ${text}`);
      assert.equal(fleet.requestCount, before);
    });
  }

  test('a body that names two models is either refused or the pod’s request for the allowed one', async () => {
    const before = fleet.chat.requests.length;
    const body = '{"model":"llama","messages":[{"role":"user","content":"Hi"}],"max_tokens":2,"model":"public-name"}';
    await ask('renamed', CHAT, body);
    for (const { body: sent } of fleet.chat.requests.slice(before)) {
      assert.equal(JSON.parse(String(sent)).model, UPSTREAM_NAME);
      assert.ok(!String(sent).includes('"llama"'));
    }
  });

  test('403 in each shape; before the body, where the head names the model', async () => {
    const error = {
      status: 403,
      type: 'permission_error',
      message: /^You may not use the model llama\. GET \/v1\/models/,
    };
    const openAi = { ...error, code: 'model_not_allowed', param: 'model' };
    const before = fleet.requestCount;
    const head = async (line: string, ...headers: [string, string][]) =>
      (await answerToHead(fleet.gateway.port, line, [...Object.entries(headersOf('renamed')), ...headers])) ??
      assert.fail('the connection ended');
    assertOpenAiError(await ask('renamed', CHAT, chat('llama')), openAi);
    assertOpenAiError(await head(`${CHAT}/llama`), openAi);
    assertOpenAiError(await head(CHAT, ['x-model', 'llama']), openAi);
    assertAnthropicError(await ask('renamed', MESSAGES, chat('llama')), error);
    assertAnthropicError(await head(`${MESSAGES}/llama`), error);
    assert.equal(fleet.requestCount, before);
  });

  test('the record of a refusal has who was refused, and which model', async () => {
    const id = (await ask('renamed', CHAT, chat('llama'))).headers.get('x-request-id');
    const line = await until('the line', () => fleet.gateway.accessLog().find(({ request_id }) => request_id === id));
    assert.deepEqual([line.consumer, line.code, line.details], ['renamed', 403, 'fairlead_model_not_allowed']);
  });

  test('explain is for those who are allowed it', async () => {
    const explained = async (headers: Record<string, string>) =>
      (
        await send(fleet.gateway.url, CHAT, { headers: { ...headers, 'x-fairlead-explain': '1' }, body: chat('llama') })
      ).headers.has('x-fairlead-explain');
    assert.equal(await explained(headersOf('everything')), false);
    assert.equal(await explained(bearer(explainer.key)), true);
  });

  test('models come and go for a consumer while the gateway runs', async () => {
    const late = makeKey();
    const write = (models: readonly string[]) =>
      fleet.gateway.write('late.yaml', [consumer('late', { apiKeys: [{ sha256: late.sha256 }], models })]);
    const status = async () =>
      (await send(fleet.gateway.url, CHAT, { headers: bearer(late.key), body: chat('llama') })).status;
    write([]);
    await until('403', async () => (await status()) === 403);
    write(['llama']);
    await until('200', async () => (await status()) === 200);
    write(['public-name']);
    await until('403 again', async () => (await status()) === 403);
  });

  suite('where models are hidden', () => {
    before(async () => {
      writeGateway({ hideForbiddenModels: true });
      await until('404', async () => (await ask('renamed', CHAT, chat('llama'))).status === 404);
    });

    /** All that a client sees, of which two names of one length make nothing different but themselves. */
    function seen({ status, headers, body }: Answer, name: string) {
      const shown = [...headers].filter(([header]) => header !== 'date' && header !== 'x-request-id');
      return JSON.stringify([status, shown, body]).replaceAll(name, 'NAME');
    }

    const PAIRS: readonly (readonly [hidden: string, unknown: string])[] = [
      ['llama', 'lamma'],
      ['llama@2', 'llama@3'],
      [LLAMA, LLAMA.replace('8B', '9B')],
      ['lama été', 'lema ätä'],
      ['BAAI/bge-m3', 'BAAI/bge-m9'],
      ['nobody', 'nobady'],
    ];
    const LINES: Readonly<Record<string, (name: string) => Promise<Answer>>> = {
      'the body': name => ask('renamed', CHAT, chat(name)),
      'the body of a message': name => ask('renamed', MESSAGES, chat(name)),
      'the body of an embedding': name => ask('renamed', 'POST /v1/embeddings', { model: name, input: 'Hi' }),
      'the path': name => ask('renamed', `${CHAT}/${encodeURIComponent(name)}`, chat()),
      'the path and the body': name => ask('renamed', `${CHAT}/${encodeURIComponent(name)}`, chat(name)),
      'the path, with another in the body': name => ask('renamed', `${CHAT}/${encodeURIComponent(name)}`, chat(LLAMA)),
      'the body, with an allowed one in the path': name => ask('renamed', `${CHAT}/public-name`, chat(name)),
      'a header': name => ask('renamed', CHAT, chat(), { 'x-model': Buffer.from(name).toString('latin1') }),
      'GET /v1/models': name => ask('renamed', `GET /v1/models/${encodeURIComponent(name)}`),
      'a wrong strategy': name => ask('renamed', CHAT, chat(name), { 'routing-strategy': 'no-such' }),
      explain: name => ask('renamed', CHAT, chat(name), { 'x-fairlead-explain': '1' }),
      'too many tokens': name => ask('renamed', CHAT, { ...chat(name), max_tokens: 1_000_000 }),
    };
    for (const [where, request] of Object.entries(LINES)) {
      test(`a hidden name looks like one that is unknown: in ${where}`, async () => {
        const before = fleet.requestCount;
        for (const [hidden, unknown] of PAIRS) {
          const answer = await request(hidden);
          assert.equal(seen(answer, hidden), seen(await request(unknown), unknown));
          assert.ok([400, 404].includes(answer.status), answer.body);
        }
        assert.equal(fleet.requestCount, before);
      });
    }

    test('what is allowed is served', async () => {
      assert.equal((await ask('renamed', CHAT, chat('public-name'))).status, 200);
      assert.equal((await ask('by-glob', CHAT, chat('llama'))).status, 200);
    });
  });
});
