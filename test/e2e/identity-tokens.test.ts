import assert from 'node:assert/strict';
import { createPublicKey } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { SignJWT, UnsecuredJWT } from 'jose';
import { ERRORS } from '../../errors/codes.ts';
import { type SigningKey, signingKey, TokenIssuer } from '../envoy/token-issuer.ts';
import { type Answer, assertAnthropicError, assertOpenAiError, send } from './harness/answer.ts';
import { bearer, consumer, keyOf, makeKey } from './harness/consumer.ts';
import { Fleet, LLAMA } from './harness/fleet.ts';
import { freePorts } from './harness/free-ports.ts';
import { answerToHead, type HeaderLines } from './harness/head-only.ts';
import { RawConnection } from './harness/raw-connection.ts';
import { until } from './harness/until.ts';

const CHAT = 'POST /v1/chat/completions';
const MESSAGES = 'POST /v1/messages';
const BODY = { model: 'llama', messages: [{ role: 'user', content: 'Hi' }], max_tokens: 2 };

/** Names Consumers by its claim `sub`. */
const FIRST = 'https://first.example/';
/** Whose tokens only Consumers claim. */
const SECOND = 'https://second.example';

const annKey = makeKey();
const teamKey = makeKey();
const tokenLike = keyOf(`eyJhbGciOiJSUzI1NiJ9.${'x'.repeat(40)}.y`);

const CONSUMERS = [
  consumer('ann', { apiKeys: [annKey, tokenLike].map(({ sha256 }) => ({ sha256 })) }),
  consumer('team', {
    apiKeys: [{ sha256: teamKey.sha256 }],
    jwt: [{ issuer: SECOND, claims: { 'org.team': 'search' } }],
  }),
  consumer('operations', { jwt: [{ issuer: SECOND, claims: { groups: 'ops' } }], models: ['public-name'] }),
  consumer('service', { jwt: [{ issuer: SECOND, subject: 'svc' }] }),
  consumer('service-of-search', { jwt: [{ issuer: SECOND, subject: 'svc', claims: { 'org.team': 'search' } }] }),
  consumer('by-url', { jwt: [{ issuer: SECOND, claims: { 'https://acme.example/tier': 'gold' } }] }),
];

const seconds = (offset: number) => Math.floor(Date.now() / 1000) + offset;

suite('tokens', () => {
  let fleet: Fleet;
  let first: TokenIssuer;
  let second: TokenIssuer;
  let stranger: SigningKey;
  let ports: number[];
  /** Every token that was made here. */
  const made: string[] = [];

  const tokenOf = async (issuer: TokenIssuer, claims: Readonly<Record<string, unknown>> = {}, key?: SigningKey) => {
    const token = await issuer.token(claims, key);
    made.push(token);
    return token;
  };
  /** Where the second issuer's keys are; changed to have them fetched at once. */
  let secondKeys = '/keys';
  const issuers = () => [
    { issuer: FIRST, jwksUrl: `http://127.0.0.1:${ports[0]}/keys`, audiences: ['fairlead'], consumerClaim: 'sub' },
    { issuer: SECOND, jwksUrl: `http://127.0.0.1:${ports[1]}${secondKeys}`, audiences: ['fairlead', 'other'] },
  ];
  const writeMode = (mode: string, jwt: readonly object[] | undefined = issuers()) =>
    fleet.gateway.writeGateway({
      listeners: [{ name: 'http', port: fleet.gateway.port }],
      authentication: { mode, ...(jwt.length > 0 && { jwt }) },
    });

  const head = async (line: string, headers: HeaderLines): Promise<Answer> =>
    (await answerToHead(fleet.gateway.port, line, headers)) ?? assert.fail('the connection ended without an answer');
  const ask = (headers: Readonly<Record<string, string>>, line = CHAT) =>
    send(fleet.gateway.url, line, { headers, ...(line.startsWith('POST') && { body: BODY }) });
  const usage = (headers: Readonly<Record<string, string>>) => ask(headers, 'GET /v1/usage');
  const callerOf = async (headers: Readonly<Record<string, string>>): Promise<string> => {
    const answer = await usage(headers);
    assert.equal(answer.status, 200, answer.body);
    return JSON.parse(answer.body).consumer;
  };
  const assertRefused = (answer: Answer, code: keyof typeof ERRORS, message: string | RegExp = ERRORS[code].message) =>
    assertOpenAiError(answer, { status: 401, code, type: 'authentication_error', message });

  before(async () => {
    first = new TokenIssuer(FIRST, await signingKey('k1'));
    second = new TokenIssuer(SECOND, await signingKey('k1'), await signingKey('k2'));
    stranger = await signingKey('k1');
    ports = await freePorts(2);
    const authentication = { mode: 'apiKeysOrJwt', jwt: issuers() };
    fleet = await Fleet.start({ logLevel: 'debug', gateway: { authentication } });
    fleet.gateway.write('consumers.yaml', CONSUMERS);
    await until('keys are taken', async () => (await usage(bearer(annKey.key))).status === 200);
  });
  after(async () => {
    await fleet?.close();
    await Promise.all([first, second].map(issuer => issuer?.close()));
  });

  test('issuers that are away at the start cost their tokens, and nothing else', async () => {
    assertOpenAiError(await ask(bearer(await tokenOf(first))), {
      ...{ status: 503, code: 'gateway_unavailable', type: 'overloaded_error', retryAfter: 1 },
      message: ERRORS.gateway_unavailable.message,
    });
    assert.equal((await ask(bearer(annKey.key))).status, 200);
    assert.equal((await ask({}, 'GET /readyz')).status, 200);
  });

  test('their tokens are taken once they are there', async () => {
    await first.listen(ports[0]);
    await second.listen(ports[1]);
    for (const token of [await tokenOf(first), await tokenOf(second, { sub: 'svc' })]) {
      await until('a token is taken', async () => (await ask(bearer(token))).status === 200);
    }
  });

  const CALLERS: Readonly<Record<string, readonly [issuer: 1 | 2, claims: object, caller: string]>> = {
    'the claim that names a Consumer': [1, { sub: 'ann' }, 'ann'],
    'the same with the namespace': [1, { sub: 'default/team' }, 'team'],
    'a claim within a claim': [2, { sub: 'x', org: { team: 'search' } }, 'team'],
    'a claim with dots in its name': [2, { sub: 'x', 'https://acme.example/tier': 'gold' }, 'by-url'],
    'an element of a list': [2, { sub: 'x', groups: ['dev', 'ops'] }, 'operations'],
    'a claim that can be a list, and is none': [2, { sub: 'x', groups: 'ops' }, 'operations'],
    'the subject': [2, { sub: 'svc' }, 'service'],
    'most claims': [2, { sub: 'svc', org: { team: 'search' } }, 'service-of-search'],
    'one of its audiences': [2, { sub: 'svc', aud: ['x', 'other'] }, 'service'],
  };
  for (const [what, [issuer, claims, caller]] of Object.entries(CALLERS)) {
    test(`a caller is known by ${what}`, async () => {
      const token = await tokenOf(issuer === 1 ? first : second, { ...claims });
      assert.equal(await callerOf(bearer(token)), caller);
      assert.equal(await callerOf({ ...bearer(token), user: 'ann' }), caller);
    });
  }

  const OWNERLESS: Readonly<Record<string, readonly [issuer: 1 | 2, claims: object]>> = {
    'whose subject nobody is called': [1, { sub: 'nobody' }],
    'without the claim': [1, { sub: undefined }],
    'with a list in place of the claim': [1, { sub: 'x', aud: 'fairlead', groups: ['ann'] }],
    'of the issuer that names no Consumer': [2, { sub: 'ann' }],
    'of the other issuer, with claims that would do': [1, { sub: 'svc', org: { team: 'search' }, groups: ['ops'] }],
    'with half of a value': [2, { sub: 'x', groups: ['op', 'ops2'], org: { team: 'searching' } }],
    'with a claim in another place': [2, { sub: 'x', team: 'search', 'org.team.x': 'search' }],
  };
  for (const [what, [issuer, claims]] of Object.entries(OWNERLESS)) {
    test(`a valid token ${what} is nobody’s: 401`, async () => {
      const before = fleet.requestCount;
      const token = await tokenOf(issuer === 1 ? first : second, { ...claims });
      assertRefused(
        await head(CHAT, [['authorization', `Bearer ${token}`]]),
        'invalid_token',
        /^The token is valid, but belongs to no consumer\. /,
      );
      assert.equal(fleet.requestCount, before);
    });
  }

  /** Signed with a secret that everybody knows, the public key, in each form that a mistaken verifier might take. */
  const confused = async (form: 'modulus' | 'pem') => {
    const jwk = first.keys[0]?.publicJwk ?? assert.fail();
    const pem = createPublicKey({ key: { ...jwk }, format: 'jwk' }).export({ type: 'spki', format: 'pem' });
    const secret = form === 'pem' ? Buffer.from(pem) : Buffer.from(jwk.n ?? '', 'base64url');
    const payload = { iss: FIRST, aud: 'fairlead', sub: 'ann', exp: seconds(300) };
    return new SignJWT(payload).setProtectedHeader({ alg: 'HS256', kid: 'k1' }).sign(secret);
  };
  const unsigned = () =>
    new UnsecuredJWT({ sub: 'ann' }).setIssuer(FIRST).setAudience('fairlead').setExpirationTime('5m').encode();
  const changed = async () => {
    const [head, , signature] = (await first.token({ sub: 'nobody' })).split('.');
    const claims = { iss: FIRST, aud: 'fairlead', sub: 'ann', exp: seconds(300) };
    return `${head}.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.${signature}`;
  };

  type Code = 'invalid_token' | 'expired_token';
  const REFUSED: Readonly<Record<string, readonly [code: Code, token: () => string | Promise<string>]>> = {
    'that has expired': ['expired_token', () => first.token({ exp: seconds(-120) })],
    'that is not valid yet': ['invalid_token', () => first.token({ nbf: seconds(120) })],
    'for another audience': ['invalid_token', () => first.token({ aud: 'other' })],
    'for no audience': ['invalid_token', () => first.token({ aud: undefined })],
    'of another issuer': ['invalid_token', () => first.token({ iss: 'https://evil.example/' })],
    'that says to be of the other issuer': ['invalid_token', () => first.token({ iss: SECOND, sub: 'svc' })],
    'without an end': ['invalid_token', () => first.token({ exp: undefined })],
    'signed by another key of the same name': ['invalid_token', () => first.token({}, stranger)],
    'signed by a key that nobody told': [
      'invalid_token',
      () => first.token({}, { ...(first.keys[0] ?? stranger), kid: 'k9' }),
    ],
    'without a signature': ['invalid_token', unsigned],
    'signed with the modulus of the public key as a secret': ['invalid_token', () => confused('modulus')],
    'signed with the public key as a secret': ['invalid_token', () => confused('pem')],
    'whose claims were changed': ['invalid_token', changed],
    'that is a key which looks like one': ['invalid_token', () => tokenLike.key],
    'of 50 kB': ['invalid_token', () => `eyJ${'a'.repeat(50_000)}.e30.x`],
  };
  for (const [what, [code, make]] of Object.entries(REFUSED)) {
    test(`a token ${what}: 401 before any body, and no pod hears of it`, async () => {
      const before = fleet.requestCount;
      const token = await make();
      made.push(token);
      const headers: HeaderLines = [['authorization', `Bearer ${token}`]];
      assertRefused(await head(CHAT, headers), code);
      const { type, message } = ERRORS[code];
      assertAnthropicError(await head(MESSAGES, headers), { status: 401, type, message });
      for (const line of ['GET /v1/models', `GET /v1/models/${LLAMA}`, 'GET /v1/usage']) {
        assertRefused(await head(line, headers), code);
      }
      // A good key beside it saves nothing.
      assertRefused(await head(CHAT, [...headers, ['x-api-key', annKey.key]]), code);
      assert.equal(fleet.requestCount, before);
    });
  }

  test('a token is read where it belongs only, and of its form only', async () => {
    const token = await tokenOf(first);
    const before = fleet.requestCount;
    const unread = /^The token was not read\. /;
    assertRefused(await head(CHAT, [['authorization', `bearer ${token}`]]), 'invalid_token', unread);
    assertRefused(await head(CHAT, [['x-api-key', token]]), 'invalid_token', unread);
    for (const line of [CHAT, `${CHAT}?access_token=${token}`]) {
      const cookie: HeaderLines = [['cookie', `access_token=${token}`]];
      assertRefused(await head(line, cookie), 'missing_api_key', /^No API key or token was sent\. /);
    }
    for (const other of [token, annKey.key, await tokenOf(second, { sub: 'svc' })]) {
      const twice: HeaderLines = [
        ['authorization', `Bearer ${token}`],
        ['authorization', `Bearer ${other}`],
      ];
      assert.equal((await head(CHAT, twice)).status, 401);
      assert.equal((await head(CHAT, twice.toReversed())).status, 401);
    }
    assert.equal(fleet.requestCount, before);
  });

  test('a key that looks like a token is good where no token is expected', async () => {
    assert.equal(await callerOf({ 'x-api-key': tokenLike.key }), 'ann');
  });

  test('a token beside a key: both must be the same consumer’s', async () => {
    const token = bearer(await tokenOf(first));
    assert.equal(await callerOf({ ...token, 'x-api-key': annKey.key }), 'ann');
    assertRefused(
      await ask({ ...token, 'x-api-key': teamKey.key }),
      'invalid_api_key',
      /belong to different consumers/,
    );
    assertRefused(await ask({ ...token, 'x-api-key': 'any_key' }), 'invalid_api_key', /^This API key is not known\. /);
    const ownerless = bearer(await tokenOf(first, { sub: 'nobody' }));
    assertRefused(await ask({ ...ownerless, 'x-api-key': annKey.key }), 'invalid_token', /belongs to no consumer/);
  });

  test('a token opens the models of its consumer only', async () => {
    const token = bearer(await tokenOf(second, { groups: ['ops'] }));
    assert.equal((await ask(token)).status, 403);
    const { data } = JSON.parse((await ask(token, 'GET /v1/models')).body);
    assert.deepEqual(
      data.map(({ id }: { id: string }) => id),
      ['public-name'],
    );
  });

  test('every key that an issuer tells is good', async () => {
    for (const key of second.keys) {
      assert.equal(await callerOf(bearer(await tokenOf(second, { sub: 'svc' }, key))), 'service');
    }
  });

  test('an issuer changes its keys: the new one is taken, and the old one refused, on connections from before too', async () => {
    const old = bearer(await tokenOf(second, { sub: 'svc' }));
    const connection = await RawConnection.open(fleet.gateway.port);
    const statusOn = async () => {
      connection.write(`GET /v1/usage HTTP/1.1\r\nhost: gateway\r\nauthorization: ${old.authorization}\r\n\r\n`);
      return (await connection.answer())?.status;
    };
    assert.equal(await statusOn(), 200);
    second.keys = [await signingKey('k3')];
    // Envoy asks again by itself within two minutes, and at once where it is told another address.
    secondKeys = '/keys?again';
    writeMode('apiKeysOrJwt');
    const fresh = bearer(await tokenOf(second, { sub: 'svc' }));
    await until('the new key is taken', async () => (await usage(fresh)).status === 200);
    await until('the old key is refused', async () => (await usage(old)).status === 401);
    assert.equal(await statusOn(), 401);
    connection.reset();
    assert.equal(await callerOf(bearer(await tokenOf(first))), 'ann');
  });

  test('issuers that go away later cost nothing', async () => {
    await Promise.all([first.close(), second.close()]);
    assert.equal(await callerOf(bearer(await tokenOf(first))), 'ann');
    assert.equal(await callerOf(bearer(await tokenOf(second, { sub: 'svc' }))), 'service');
    assert.equal(await callerOf(bearer(annKey.key)), 'ann');
    await first.listen(ports[0]);
    await second.listen(ports[1]);
  });

  test('an issuer in the place of another one is not taken for it, on connections from before either', async () => {
    // What the second issuer says of this subject is the consumer "service"; what the first says is nothing.
    const token = await tokenOf(first, { sub: 'svc' });
    const head = `GET /v1/usage HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer ${token}\r\n\r\n`;
    const connection = await RawConnection.open(fleet.gateway.port);
    connection.write(head);
    assert.equal((await connection.answer())?.status, 401);
    const { table } = await fleet.gateway.node();
    writeMode('apiKeysOrJwt', issuers().toReversed());
    await until('another table', async () => {
      assert.equal((await usage(bearer(token))).status, 401);
      return (await fleet.gateway.node()).table?.version !== table?.version;
    });
    connection.write(head);
    assert.equal((await connection.answer())?.status, 401);
    connection.reset();
    await until('its own tokens are taken', async () => (await usage(bearer(await first.token()))).status === 200);
    assert.equal((await usage(bearer(token))).status, 401);
  });

  test('mode jwt: keys are refused, tokens go on', async () => {
    const token = await tokenOf(first);
    writeMode('jwt');
    await until('keys are refused', async () => (await usage(bearer(annKey.key))).status === 401);
    const before = fleet.requestCount;
    const noKeys = /^This gateway takes tokens \(JWT\), and no API keys\. /;
    assertRefused(await head(CHAT, [['authorization', `Bearer ${annKey.key}`]]), 'invalid_token', noKeys);
    assertRefused(await head(CHAT, [['x-api-key', annKey.key]]), 'invalid_token', noKeys);
    assertRefused(await head(CHAT, []), 'missing_api_key', /^No token was sent\. /);
    assert.equal(fleet.requestCount, before);
    assert.equal(await callerOf(bearer(token)), 'ann');
    // No key is looked at here, so none can say otherwise.
    assert.equal(await callerOf({ ...bearer(token), 'x-api-key': teamKey.key }), 'ann');
  });

  test('mode apiKeys: tokens are refused, keys go on', async () => {
    const token = await tokenOf(first);
    writeMode('apiKeys', []);
    await until('tokens are refused', async () => (await usage(bearer(token))).status === 401);
    await until('keys are taken', async () => (await usage(bearer(annKey.key))).status === 200);
    assertRefused(
      await head(CHAT, [['authorization', `Bearer ${token}`]]),
      'invalid_api_key',
      /^This gateway takes API keys, and no tokens\. /,
    );
    assert.equal(await callerOf(bearer(tokenLike.key)), 'ann');
  });

  test('the access log names the consumer, and no token reaches a pod or a log', async () => {
    writeMode('apiKeysOrJwt');
    const token = bearer(await tokenOf(first));
    const answer = await until('tokens are taken', async () => {
      const answer = await ask(token);
      return answer.status === 200 && answer;
    });
    const id = answer.headers.get('x-request-id');
    const line = await until('the line', () => fleet.gateway.accessLog().find(({ request_id }) => request_id === id));
    assert.equal(line.consumer, 'ann');
    const secrets = [annKey.key, teamKey.key, tokenLike.key, ...made];
    for (const { headers } of fleet.chat.requests) {
      for (const name of ['authorization', 'x-api-key', 'cookie']) assert.equal(headers[name], undefined);
      assert.ok(secrets.every(secret => !JSON.stringify(headers).includes(secret)));
    }
    const logs = readdirSync(fleet.gateway.logs).map(name => readFileSync(join(fleet.gateway.logs, name), 'utf8'));
    for (const text of [fleet.gateway.output, ...logs]) {
      for (const secret of secrets) assert.ok(!text.includes(secret), `${secret} is told`);
      // Nor are the claims, which say who somebody is.
      for (const claims of made.map(token => token.split('.')[1] ?? '').filter(({ length }) => length > 20)) {
        assert.ok(!text.includes(claims), `${claims} are told`);
      }
    }
  });
});
