import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { connect } from 'node:http2';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { ERRORS } from '../../errors/codes.ts';
import { type Answer, assertAnthropicError, assertOpenAiError, send } from './harness/answer.ts';
import { bearer, consumer, keyOf, type MadeKey, makeKey } from './harness/consumer.ts';
import { Fleet, LLAMA } from './harness/fleet.ts';
import { answerToHead, type HeaderLines } from './harness/head-only.ts';
import { until } from './harness/until.ts';

const CHAT = 'POST /v1/chat/completions';
const MESSAGES = 'POST /v1/messages';
const BODY = { model: 'llama', messages: [{ role: 'user', content: 'Hi' }], max_tokens: 2 };
const LONG_AGO = '2020-01-01T00:00:00Z';

const alice = makeKey();
const second = makeKey();
const expired = makeKey();
const bob = makeKey();
/** Keys of other gateways, which were imported: of any form, also that of a token. */
const foreign = keyOf('sk-imported-0123456789');
const unicode = keyOf('schlüssel-鍵-🔑');
const tokenLike = keyOf(`eyJhbGciOiJSUzI1NiJ9.${'x'.repeat(40)}.y`);
const nobody = makeKey();
const withdrawn = makeKey();
const stored = makeKey();
const storedNext = makeKey();

const entry = ({ sha256 }: MadeKey, more: object = {}) => ({ sha256, ...more });
const ALICE = [entry(alice), entry(second), entry(expired, { expires: LONG_AGO })];
const OTHERS = [
  consumer('bob', { apiKeys: [entry(bob)], models: ['public-name'] }),
  consumer('guest', { apiKeys: [foreign, unicode, tokenLike].map(key => entry(key)) }),
];

/** With one digit changed: what a typing error makes of it. */
const mistyped = ({ key }: MadeKey) => `${key.slice(0, 10)}${key[10] === 'a' ? 'b' : 'a'}${key.slice(11)}`;

interface Refused {
  readonly headers: HeaderLines;
  readonly code: 'missing_api_key' | 'invalid_api_key';
  readonly message: RegExp;
}

const authorization = (value: string): readonly [string, string] => ['authorization', value];
const apiKey = (value: string): readonly [string, string] => ['x-api-key', value];
const unknown = { code: 'invalid_api_key', message: /^This API key is not known\. Check it/ } as const;
const missing = { code: 'missing_api_key', message: /^No API key was sent\. / } as const;
const otherScheme = { code: 'missing_api_key', message: /not of the form Bearer/ } as const;
const different = { code: 'invalid_api_key', message: /hold different keys\. Send one key\.$/ } as const;
const tooLong = { code: 'invalid_api_key', message: /^This is longer than any API key \(512 bytes\)\. / } as const;

const REFUSED: Readonly<Record<string, Refused>> = {
  'no key': { headers: [], ...missing },
  'a user without a key': { headers: [['user', 'alice']], ...missing },
  'empty keys': { headers: [authorization('Bearer '), apiKey('')], ...missing },
  'a wrong key': { headers: [authorization('Bearer any_key')], ...unknown },
  'a key with a typing error': {
    headers: [authorization(`Bearer ${mistyped(alice)}`)],
    code: 'invalid_api_key',
    message: /typing error/,
  },
  'a key of another gateway': {
    headers: [apiKey(nobody.key)],
    code: 'invalid_api_key',
    message: /it was withdrawn, or is of another gateway/,
  },
  'an expired key': {
    headers: [authorization(`Bearer ${expired.key}`)],
    code: 'invalid_api_key',
    message: /^This API key expired at 2020-01-01T00:00:00\.000Z\. Ask for a new one\.$/,
  },
  'two keys, one in each header': { headers: [authorization(`Bearer ${alice.key}`), apiKey(bob.key)], ...different },
  'two keys of one consumer': { headers: [authorization(`Bearer ${alice.key}`), apiKey(second.key)], ...different },
  'a good key beside a wrong one': { headers: [authorization('Bearer any_key'), apiKey(alice.key)], ...different },
  'authorization twice': {
    headers: [authorization(`Bearer ${alice.key}`), authorization(`Bearer ${alice.key}`)],
    code: 'invalid_api_key',
    message: /sent more than once|sent twice/,
  },
  'authorization of two consumers': {
    headers: [authorization(`Bearer ${alice.key}`), authorization(`Bearer ${bob.key}`)],
    code: 'invalid_api_key',
    message: /sent more than once|sent twice/,
  },
  'x-api-key twice': {
    headers: [apiKey(alice.key), apiKey(alice.key)],
    code: 'invalid_api_key',
    message: /sent more than once|sent twice/,
  },
  'two keys in one header': {
    headers: [apiKey(`${alice.key}, ${bob.key}`)],
    code: 'invalid_api_key',
    message: /was its header sent twice\?$/,
  },
  Basic: { headers: [authorization(`Basic ${Buffer.from(`alice:${alice.key}`).toString('base64')}`)], ...otherScheme },
  'the key as another scheme': { headers: [authorization(`Token ${alice.key}`)], ...otherScheme },
  'the key without a scheme': { headers: [authorization(alice.key)], ...otherScheme },
  'a token': {
    headers: [authorization('Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbGljZSJ9.')],
    code: 'invalid_api_key',
    message: /^This gateway takes API keys, and no tokens\. /,
  },
  'an unknown key in unicode': { headers: [apiKey('schlüssel-鑰-🔑')], ...unknown },
  'the digest of a key': { headers: [apiKey(alice.sha256)], ...unknown },
  'the key in other capitals': {
    headers: [apiKey(alice.key.toUpperCase())],
    code: 'invalid_api_key',
    message: /^This API key /,
  },
  'a key of 513 bytes': { headers: [apiKey('k'.repeat(513))], ...tooLong },
  'a key of 50 kB': { headers: [authorization(`Bearer ${'k'.repeat(50_000)}`)], ...tooLong },
  'a good key with 50 kB behind it': { headers: [apiKey(alice.key + 'k'.repeat(50_000))], ...tooLong },
};

suite('API keys', () => {
  let fleet: Fleet;
  before(async () => {
    fleet = await Fleet.start({ logLevel: 'debug', gateway: { authentication: { mode: 'apiKeys' } } });
  });
  after(() => fleet?.close());

  const head = async (line: string, headers: HeaderLines): Promise<Answer> =>
    (await answerToHead(fleet.gateway.port, line, headers)) ?? assert.fail('the connection ended without an answer');
  const ask = (headers: Readonly<Record<string, string>>, line = CHAT, body: object = BODY) =>
    send(fleet.gateway.url, line, { headers, ...(line.startsWith('POST') && { body }) });
  const withKey = (key: string) => ask(bearer(key));
  const callerOf = async (headers: Readonly<Record<string, string>>): Promise<string> => {
    const answer = await ask(headers, 'GET /v1/usage');
    assert.equal(answer.status, 200, answer.body);
    return JSON.parse(answer.body).consumer;
  };
  const write = (...aliceKeys: readonly object[]) =>
    fleet.gateway.write('consumers.yaml', [consumer('alice', { apiKeys: aliceKeys }), ...OTHERS]);

  test('a gateway without any Consumer refuses all, and says so to its operator', async () => {
    await fleet.gateway.untilShown('nobody may call: authentication is `apiKeys`, and there is no Consumer');
    for (const line of [CHAT, MESSAGES, 'GET /v1/models', `GET /v1/models/${LLAMA}`, 'GET /v1/usage']) {
      for (const headers of [{}, bearer('any_key'), bearer(alice.key), { user: 'alice' }]) {
        assert.equal((await ask(headers, line)).status, 401);
      }
    }
    assert.equal((await ask({}, 'GET /readyz')).status, 200);
    assert.equal((await ask({}, 'GET /livez')).status, 200);
    assert.equal(fleet.requestCount, 0);
  });

  test('keys are good from the moment their Consumer is written', async () => {
    write(...ALICE, entry(withdrawn));
    await until('alice is served', async () => (await withKey(alice.key)).status === 200);
    for (const { key } of [second, withdrawn, foreign]) assert.equal((await withKey(key)).status, 200);
  });

  for (const [what, { headers, code, message }] of Object.entries(REFUSED)) {
    test(`${what}: 401 before any body, on every endpoint, and no pod hears of it`, async () => {
      const before = fleet.requestCount;
      const answer = await head(CHAT, headers);
      const type = ERRORS[code].type;
      assertOpenAiError(answer, { status: 401, code, type, message });
      assert.match(answer.headers.get('www-authenticate') ?? '', /^Bearer realm="fairlead"/);
      assertAnthropicError(await head(MESSAGES, headers), { status: 401, type, message });
      for (const line of ['GET /v1/models', `GET /v1/models/${LLAMA}`, 'GET /v1/usage', 'POST /v1/embeddings/bge']) {
        assertOpenAiError(await head(line, headers), { status: 401, code, type, message });
      }
      assert.equal(fleet.requestCount, before);
      for (const [, value] of headers.filter(([, value]) => value.length > 20)) assert.ok(!answer.body.includes(value));
    });
  }

  test('a key of 1 MB is refused by its size, or its connection is cut', async () => {
    const before = fleet.requestCount;
    for (const headers of [[authorization(`Bearer ${'k'.repeat(1 << 20)}`)], [apiKey('k'.repeat(1 << 20))]]) {
      const answer = await answerToHead(fleet.gateway.port, CHAT, headers);
      if (answer !== undefined) {
        assertOpenAiError(answer, {
          status: 431,
          code: 'headers_too_large',
          message: ERRORS.headers_too_large.message,
        });
      }
    }
    assert.equal(fleet.requestCount, before);
    assert.equal((await withKey(alice.key)).status, 200);
  });

  const SENT: Readonly<Record<string, HeaderLines>> = {
    'authorization: Bearer': [authorization(`Bearer ${alice.key}`)],
    'authorization: bearer, with spaces': [authorization(`bearer   ${alice.key}  `)],
    'x-api-key': [apiKey(alice.key)],
    'both headers': [authorization(`Bearer ${alice.key}`), apiKey(alice.key)],
    'x-api-key beside a scheme that is none of ours': [authorization('Basic YWxpY2U6eA=='), apiKey(alice.key)],
    'x-api-key beside an empty authorization': [authorization(''), apiKey(alice.key)],
  };
  for (const [how, headers] of Object.entries(SENT)) {
    test(`one key, by ${how}, is its consumer’s`, async () => {
      assert.equal(JSON.parse((await head('GET /v1/usage', headers)).body).consumer, 'alice');
    });
  }

  test('imported keys are good whatever they look like', async () => {
    for (const { key } of [foreign, unicode, tokenLike]) {
      assert.equal(JSON.parse((await head('GET /v1/usage', [apiKey(key)])).body).consumer, 'guest');
      const answer = await head('GET /v1/usage', [authorization(`Bearer ${key}`)]);
      assert.equal(JSON.parse(answer.body).consumer, 'guest');
    }
  });

  test('a user is a label within the consumer, and makes nobody another', async () => {
    for (const user of ['bob', 'alice', 'default/bob', 'x']) {
      assert.equal(await callerOf({ ...bearer(alice.key), user }), 'alice');
    }
  });

  test('each tenant’s key opens its own models only', async () => {
    assert.equal((await ask(bearer(bob.key), CHAT, { ...BODY, model: 'public-name' })).status, 200);
    const before = fleet.requestCount;
    assertOpenAiError(await withKey(bob.key), {
      status: 403,
      code: 'model_not_allowed',
      type: 'permission_error',
      param: 'model',
      message: 'You may not use the model llama. GET /v1/models lists those that you may.',
    });
    assert.equal(fleet.requestCount, before);
  });

  test('over HTTP/2 too, refused before the body', async () => {
    const session = connect(fleet.gateway.url);
    try {
      const statusOf = (headers: Readonly<Record<string, string | string[]>>) =>
        new Promise((resolve, reject) => {
          // It stays open: the body never comes.
          const stream = session.request({ ':method': 'POST', ':path': '/v1/chat/completions', ...headers });
          stream.on('response', response => {
            stream.close();
            resolve(response[':status']);
          });
          stream.on('error', reject);
        });
      assert.equal(await statusOf({}), 401);
      assert.equal(await statusOf({ ...bearer('any_key') }), 401);
      assert.equal(await statusOf({ 'x-api-key': [alice.key, bob.key] }), 401);
      assert.equal(await statusOf({ ...bearer(alice.key), 'x-api-key': bob.key }), 401);
    } finally {
      session.close();
    }
  });

  test('a key is withdrawn and another one given while the gateway runs, and the others go on', async () => {
    assert.equal((await withKey(withdrawn.key)).status, 200);
    write(...ALICE);
    const refusal = await until('the withdrawn key is refused', async () => {
      const answer = await withKey(withdrawn.key);
      assert.equal((await withKey(alice.key)).status, 200);
      return answer.status === 401 && answer;
    });
    assertOpenAiError(refusal, {
      status: 401,
      code: 'invalid_api_key',
      type: 'authentication_error',
      message: /it was withdrawn/,
    });
    write(entry(withdrawn), ...ALICE.slice(1));
    await until('the first key is refused', async () => (await withKey(alice.key)).status === 401);
    assert.equal((await withKey(withdrawn.key)).status, 200);
    write(...ALICE);
    await until('all is as before', async () => (await withKey(alice.key)).status === 200);
  });

  test('a key that two claim is the older one’s, and a Consumer that goes takes its keys along', async () => {
    fleet.gateway.write('late.yaml', [consumer('zoe', { apiKeys: [entry(nobody), entry(alice)] })]);
    await fleet.gateway.untilShown('is a key of default/alice');
    assert.equal(await callerOf(bearer(alice.key)), 'alice');
    fleet.gateway.write('late.yaml', [consumer('zoe', { apiKeys: [entry(nobody)] })]);
    await until('zoe is served', async () => (await withKey(nobody.key)).status === 200);
    fleet.gateway.remove('late.yaml');
    await until('zoe is refused', async () => (await withKey(nobody.key)).status === 401);
  });

  test('a key that is in a Secret is good as long as it is there', async () => {
    const writeSecret = (key: string) =>
      fleet.gateway.write('stored.yaml', [
        consumer('stored', { apiKeys: [{ secretRef: { name: 'stored' } }] }),
        { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'stored' }, stringData: { 'api-key': key } },
      ]);
    writeSecret(stored.key);
    await until('its key is taken', async () => (await withKey(stored.key)).status === 200);
    writeSecret(storedNext.key);
    await until('its next key is taken', async () => (await withKey(storedNext.key)).status === 200);
    assert.equal((await withKey(stored.key)).status, 401);
  });

  test('the access log names the consumer, and nobody where there was none', async () => {
    const asked = [
      ['alice', await withKey(alice.key)],
      ['bob', await withKey(bob.key)],
      ['guest', await ask(bearer(foreign.key), 'GET /v1/models')],
      [null, await ask({})],
      [null, await withKey('any_key')],
    ] as const;
    for (const [name, { status, headers }] of asked) {
      const id = headers.get('x-request-id');
      const line = await until(`the line of ${id}`, () =>
        fleet.gateway.accessLog().find(({ request_id }) => request_id === id),
      );
      assert.deepEqual([line.consumer, line.code], [name, status]);
    }
  });

  test('no key reaches a pod or a log', async () => {
    const secrets = [
      alice,
      second,
      expired,
      bob,
      foreign,
      unicode,
      tokenLike,
      nobody,
      withdrawn,
      stored,
      storedNext,
    ].map(({ key }) => key);
    secrets.push(mistyped(alice), alice.key.toUpperCase(), 'any_key');
    for (const pod of [fleet.chat, fleet.embeddings, fleet.speech]) {
      for (const { headers } of pod.requests) {
        for (const name of ['authorization', 'x-api-key', 'cookie']) assert.equal(headers[name], undefined);
        assert.ok(secrets.every(secret => !JSON.stringify(headers).includes(secret)));
      }
    }
    const logs = readdirSync(fleet.gateway.logs).map(name => readFileSync(join(fleet.gateway.logs, name), 'utf8'));
    const shown = await Promise.all(['/table', '/metrics', '/explain?model=llama'].map(readAdmin));
    for (const text of [fleet.gateway.output, ...logs, ...shown]) {
      for (const secret of secrets) assert.ok(!text.includes(secret), `${secret} is in ${text.slice(0, 200)}`);
    }
  });

  const readAdmin = async (path: string) => (await fetch(fleet.gateway.admin + path)).text();
});
