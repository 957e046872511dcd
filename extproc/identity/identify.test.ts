import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { errorBody } from '../../errors/body.ts';
import { errorSpec } from '../../errors/codes.ts';
import { isRefusal, type Refusal } from '../../errors/refusal.ts';
import { AuthenticationMode, ConsumerSchema, GatewaySchema } from '../../proto/gen/fairlead/v1/table_pb.js';
import { digestOf, newApiKey } from './api-key.ts';
import type { Caller } from './caller.ts';
import { ConsumerIndex } from './consumer-index.ts';
import { identify } from './identify.ts';
import type { TokenClaims } from './token-claims.ts';

const { AUTHENTICATION_NONE, AUTHENTICATION_API_KEYS, AUTHENTICATION_JWT, AUTHENTICATION_API_KEYS_OR_JWT } =
  AuthenticationMode;
const CREDENTIALS_NEEDED = [AUTHENTICATION_API_KEYS, AUTHENTICATION_JWT, AUTHENTICATION_API_KEYS_OR_JWT];
const WITH_KEYS = [AUTHENTICATION_API_KEYS, AUTHENTICATION_API_KEYS_OR_JWT];

const NOW_MS = Date.UTC(2026, 10, 21);
const keyOf = (byte: number) => newApiKey(new Uint8Array(32).fill(byte));
const [ALICE, BOB, EXPIRED, LATER, WITHDRAWN] = [1, 2, 3, 4, 5].map(keyOf) as [string, string, string, string, string];
const IMPORTED = 'sk-élan-🔑';
const ISSUER = 'https://id.example';
/** An unsigned token: what matters here is how it looks. */
const TOKEN = `eyJ${Buffer.from('hbGciOiJub25lIn0').toString('base64url')}.eyJzdWIiOiJhbGljZSJ9.`;

const index = new ConsumerIndex();
index.apply({
  consumers: Object.entries({
    'ml/alice': {
      names: ['ml/alice', 'alice'],
      users: ['al', 'Ålice'],
      apiKeys: [
        { sha256: sha256(ALICE) },
        { sha256: sha256(IMPORTED) },
        { sha256: sha256(EXPIRED), expiresAtMs: BigInt(NOW_MS) },
        { sha256: sha256(LATER), expiresAtMs: BigInt(NOW_MS + 1) },
      ],
      jwt: [{ issuer: ISSUER, claims: { sub: 'a-1' } }],
    },
    'ml/bob': { names: ['ml/bob', 'bob'], apiKeys: [{ sha256: sha256(BOB) }] },
  } satisfies Record<string, MessageInitShape<typeof ConsumerSchema>>).map(
    ([key, init]) => [key, create(ConsumerSchema, init)] as const,
  ),
  removedConsumers: [],
});

function sha256(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(Buffer.from(digestOf(text), 'hex'));
}

/** A value, or several where the header is sent several times. */
type Headers = Record<string, string | readonly string[]>;

function ask(mode: AuthenticationMode | undefined, headers: Headers, claims?: TokenClaims): Caller | Refusal {
  const all = (name: string) => [headers[name] ?? []].flat();
  const gateway = create(GatewaySchema, {
    ...(mode !== undefined && {
      authentication: { mode, jwtIssuers: [{ name: 'idp', issuer: ISSUER, consumerClaim: 'team.name' }] },
    }),
  });
  const lookup = { all, get: (name: string) => (all(name).length === 0 ? undefined : all(name).join(',')) };
  return identify(lookup, { claims: issuer => (issuer === 'idp' ? claims : undefined) }, gateway, index, NOW_MS);
}

function codeOf(answer: Caller | Refusal): string {
  return isRefusal(answer) ? answer.code : '';
}

const bearer = (secret: string): Headers => ({ authorization: `Bearer ${secret}` });

function caller(mode: AuthenticationMode, headers: Headers, claims?: TokenClaims): string {
  const found = ask(mode, headers, claims);
  assert.ok(!isRefusal(found), isRefusal(found) ? found.message : '');
  assert.equal(found.consumer?.key ?? '', found.key);
  return [found.name, found.user].join(' ').trimEnd();
}

function refusal(mode: AuthenticationMode | undefined, headers: Headers, claims?: TokenClaims): Refusal {
  const refused = ask(mode, headers, claims);
  assert.ok(isRefusal(refused), 'somebody was identified');
  return refused;
}

describe('authentication none', () => {
  const cases: readonly (readonly [headers: Headers, caller: string])[] = [
    [{}, 'anonymous'],
    [{ user: '' }, 'anonymous'],
    [{ user: 'alice' }, 'alice alice'],
    [{ user: ' ml/alice ' }, 'alice ml/alice'],
    [{ user: 'al' }, 'alice al'],
    [{ user: 'Ålice' }, 'alice Ålice'],
    [{ user: 'bob' }, 'bob bob'],
    [{ user: 'Alice' }, 'anonymous Alice'],
    [{ user: 'stranger' }, 'anonymous stranger'],
    [{ ...bearer('any_key') }, 'anonymous'],
    [{ ...bearer(BOB), user: 'alice' }, 'alice alice'],
    [{ 'x-api-key': [ALICE, BOB], authorization: ['Basic x', 'Bearer y'] }, 'anonymous'],
  ];
  for (const [headers, expected] of cases) {
    test(`${JSON.stringify(headers).slice(0, 60)}: ${expected}`, () =>
      assert.equal(caller(AUTHENTICATION_NONE, headers), expected));
  }

  test('a verified token names nobody', () => {
    assert.equal(caller(AUTHENTICATION_NONE, {}, { sub: 'a-1' }), 'anonymous');
  });

  test('on a connection from before the gateway stopped asking, callers are asked still', () => {
    const since = (mode: AuthenticationMode, more: Headers) => ({ 'x-fairlead-authentication': String(mode), ...more });
    for (const mode of WITH_KEYS) {
      assert.equal(caller(AUTHENTICATION_NONE, since(mode, bearer(ALICE))), 'alice');
      assert.equal(codeOf(ask(AUTHENTICATION_NONE, since(mode, { user: 'al' }))), 'missing_api_key');
    }
    assert.equal(codeOf(ask(AUTHENTICATION_NONE, since(AUTHENTICATION_JWT, bearer(TOKEN)))), 'invalid_token');
    assert.equal(codeOf(ask(AUTHENTICATION_NONE, since(0 as AuthenticationMode, {}))), 'gateway_unavailable');
  });
});

describe('the user header', () => {
  const wrong = [
    'x'.repeat(257),
    'é'.repeat(129),
    'a\tb',
    'a\u0000',
    'a\u202eb',
    'a\u2028b',
    ['alice', 'bob'],
    ['alice', 'alice'],
  ];
  for (const user of wrong) {
    test(`${JSON.stringify(user).slice(0, 30)} is no name`, () => {
      for (const mode of [AUTHENTICATION_NONE, AUTHENTICATION_API_KEYS]) {
        const { code, param, message } = refusal(mode, { ...bearer(ALICE), user });
        assert.deepEqual([code, param], ['invalid_parameter', 'user']);
        assert.ok(!message.includes('alice') && !message.includes('xxx'));
      }
    });
  }

  test('is a label within the consumer where callers are authenticated, and names nobody', () => {
    for (const mode of WITH_KEYS) {
      assert.equal(caller(mode, { ...bearer(ALICE), user: 'bob' }), 'alice bob');
      assert.equal(refusal(mode, { user: 'alice' }).code, 'missing_api_key');
    }
    assert.equal(caller(AUTHENTICATION_JWT, { user: 'x'.repeat(256) }, { sub: 'a-1' }), `alice ${'x'.repeat(256)}`);
    assert.equal(refusal(AUTHENTICATION_JWT, { user: 'alice' }).code, 'missing_api_key');
  });

  test('of nobody is not looked at: 401 comes first', () => {
    assert.equal(refusal(AUTHENTICATION_API_KEYS, { user: ['a', 'b'] }).code, 'missing_api_key');
  });
});

describe('API keys', () => {
  const known: readonly (readonly [name: string, headers: Headers, caller: string])[] = [
    ['as bearer', bearer(ALICE), 'alice'],
    ['as bearer in lower case', { authorization: `bearer ${ALICE}` }, 'alice'],
    ['as BEARER with more spaces', { authorization: `  BEARER \t ${ALICE}  ` }, 'alice'],
    ['as x-api-key', { 'x-api-key': BOB }, 'bob'],
    ['in both headers', { ...bearer(ALICE), 'x-api-key': ALICE }, 'alice'],
    ['beside an empty bearer', { authorization: 'Bearer ', 'x-api-key': BOB }, 'bob'],
    ['beside an empty x-api-key', { ...bearer(ALICE), 'x-api-key': '' }, 'alice'],
    ['beside a scheme of something else', { authorization: 'Basic YTpi', 'x-api-key': BOB }, 'bob'],
    ['that is imported, in Unicode', bearer(IMPORTED), 'alice'],
    ['that expires in a millisecond', bearer(LATER), 'alice'],
  ];
  for (const [name, headers, expected] of known) {
    test(`one ${name} is known`, () => {
      for (const mode of WITH_KEYS) assert.equal(caller(mode, headers), expected);
    });
  }

  const refused: readonly (readonly [name: string, headers: Headers, code: string, message: RegExp])[] = [
    ['none', {}, 'missing_api_key', /^No API key.* was sent\. Send one as authorization: Bearer KEY/],
    ['an empty bearer', { authorization: 'Bearer' }, 'missing_api_key', /Bearer KEY/],
    ['Basic', { authorization: 'Basic YTpi' }, 'missing_api_key', /not of the form Bearer/],
    ['without a scheme', { authorization: ALICE }, 'missing_api_key', /not of the form Bearer/],
    ['a scheme that only begins so', { authorization: `Bearer${ALICE}` }, 'missing_api_key', /not of the form Bearer/],
    ['of another form', bearer('any_key'), 'invalid_api_key', /not known/],
    ['withdrawn', bearer(WITHDRAWN), 'invalid_api_key', /withdrawn/],
    ['expired', bearer(EXPIRED), 'invalid_api_key', /expired at 2026-11-21T00:00:00\.000Z/],
    ['mistyped', bearer(ALICE.replace(/.$/, '_')), 'invalid_api_key', /typing error/],
    ['cut short', { 'x-api-key': ALICE.slice(0, -1) }, 'invalid_api_key', /typing error/],
    ['in another case', bearer(ALICE.toUpperCase()), 'invalid_api_key', /not known/],
    ['two that differ', { ...bearer(ALICE), 'x-api-key': BOB }, 'invalid_api_key', /different keys/],
    ['a good and a bad one', { ...bearer(ALICE), 'x-api-key': 'x' }, 'invalid_api_key', /different keys/],
    [
      'authorization twice',
      { authorization: [`Bearer ${ALICE}`, `Bearer ${ALICE}`] },
      'invalid_api_key',
      /authorization .*more than once/,
    ],
    ['x-api-key twice', { 'x-api-key': [ALICE, ALICE] }, 'invalid_api_key', /x-api-key .*more than once/],
    ['x-api-key twice, once empty', { ...bearer(ALICE), 'x-api-key': ['', ''] }, 'invalid_api_key', /more than once/],
    ['joined by a comma', { authorization: `Bearer ${ALICE},Bearer ${ALICE}` }, 'invalid_api_key', /sent twice/],
    ['of 513 bytes', bearer(`${'é'.repeat(256)}x`), 'invalid_api_key', /longer than any API key \(512 bytes\)/],
    ['of 1 MB', { 'x-api-key': 'x'.repeat(1 << 20) }, 'invalid_api_key', /longer than any API key/],
    ['unknown, in Unicode', bearer('ключ-🔑-\ufffd'), 'invalid_api_key', /not known/],
    ['with something after it', bearer(`${ALICE} x`), 'invalid_api_key', /typing error/],
    ['a digest', bearer(digestOf(ALICE)), 'invalid_api_key', /not known/],
    ['__proto__', bearer('__proto__'), 'invalid_api_key', /not known/],
  ];
  for (const [name, headers, code, message] of refused) {
    test(`${name}: ${code}`, () => {
      for (const mode of WITH_KEYS) {
        const found = refusal(mode, headers);
        assert.equal(found.code, code);
        assert.match(found.message, message);
        const wrong = code === 'missing_api_key' ? '' : ', error="invalid_token"';
        assert.deepEqual(found.headers, { 'www-authenticate': `Bearer realm="fairlead"${wrong}` });
      }
    });
  }

  test('a key that looks like a token is refused as what it is', () => {
    const alone = refusal(AUTHENTICATION_API_KEYS, bearer(TOKEN));
    assert.deepEqual([alone.code, /no tokens/.test(alone.message)], ['invalid_api_key', true]);
    for (const headers of [bearer(TOKEN), bearer(TOKEN + 'x'.repeat(600)), { 'x-api-key': TOKEN }]) {
      const either = refusal(AUTHENTICATION_API_KEYS_OR_JWT, headers);
      assert.deepEqual([either.code, /was not read/.test(either.message)], ['invalid_token', true]);
    }
  });

  test('claims are nothing where tokens are not asked for', () => {
    assert.equal(refusal(AUTHENTICATION_API_KEYS, {}, { sub: 'a-1' }).code, 'missing_api_key');
    assert.equal(caller(AUTHENTICATION_API_KEYS, bearer(BOB), { sub: 'a-1' }), 'bob');
  });

  test('the key of a consumer that is gone is not known', () => {
    const gone = new ConsumerIndex();
    const consumer = create(ConsumerSchema, { apiKeys: [{ sha256: sha256(ALICE) }] });
    gone.apply({ consumers: [['ml/alice', consumer]], removedConsumers: [] });
    gone.apply({ consumers: [], removedConsumers: ['ml/alice'] });
    const gateway = create(GatewaySchema, { authentication: { mode: AUTHENTICATION_API_KEYS } });
    const lookup = { get: () => undefined, all: (name: string) => (name === 'x-api-key' ? [ALICE] : []) };
    const refused = identify(lookup, { claims: () => undefined }, gateway, gone, NOW_MS);
    assert.ok(isRefusal(refused) && refused.code === 'invalid_api_key');
  });
});

describe('tokens', () => {
  const known: readonly (readonly [name: string, claims: TokenClaims, caller: string])[] = [
    ['of a Consumer that lists it', { sub: 'a-1' }, 'alice'],
    ['of the Consumer that its claim names', { team: { name: 'bob' } }, 'bob'],
    ['of the Consumer that its claim names in full', { team: { name: 'ml/bob' } }, 'bob'],
    ['of two: the one that lists it', { sub: 'a-1', team: { name: 'bob' } }, 'alice'],
  ];
  for (const [name, claims, expected] of known) {
    test(name, () => {
      for (const mode of [AUTHENTICATION_JWT, AUTHENTICATION_API_KEYS_OR_JWT])
        assert.equal(caller(mode, {}, claims), expected);
    });
  }

  test('valid, and nobody’s', () => {
    for (const claims of [
      {},
      { sub: 'a-2' },
      { team: { name: 'al' } },
      { team: { name: ['bob'] } },
      { team: 'bob' },
      { 'team.name': '' },
    ]) {
      for (const mode of [AUTHENTICATION_JWT, AUTHENTICATION_API_KEYS_OR_JWT]) {
        const { code, message } = refusal(mode, {}, claims as TokenClaims);
        assert.equal(code, 'invalid_token');
        assert.match(message, /valid, but belongs to no consumer/);
      }
    }
  });

  const refused: readonly (readonly [name: string, headers: Headers, code: string, message: RegExp])[] = [
    ['none', {}, 'missing_api_key', /No token was sent\. Send one as authorization: Bearer TOKEN/],
    ['Basic', { authorization: 'Basic YTpi' }, 'missing_api_key', /not of the form Bearer/],
    ['a key', bearer(ALICE), 'invalid_token', /takes tokens \(JWT\), and no API keys/],
    ['a key as x-api-key', { 'x-api-key': ALICE }, 'invalid_token', /no API keys/],
    ['a token that Envoy left alone', { authorization: `bearer ${TOKEN}` }, 'invalid_token', /was not read/],
    ['as x-api-key', { 'x-api-key': TOKEN }, 'invalid_token', /was not read/],
    ['twice', { authorization: [`Bearer ${TOKEN}`, `Bearer ${TOKEN}`] }, 'invalid_api_key', /more than once/],
  ];
  for (const [name, headers, code, message] of refused) {
    test(`${name}: ${code}`, () => {
      const found = refusal(AUTHENTICATION_JWT, headers);
      assert.equal(found.code, code);
      assert.match(found.message, message);
    });
  }

  test('beside an API key, where both are taken, are of the same consumer', () => {
    const both = (key: string, claims: TokenClaims) =>
      ask(AUTHENTICATION_API_KEYS_OR_JWT, { 'x-api-key': key }, claims);
    const code = (found: Caller | Refusal) => (isRefusal(found) ? found.code : found.key);
    assert.equal(code(both(ALICE, { sub: 'a-1' })), 'ml/alice');
    assert.equal(code(both(BOB, { sub: 'a-1' })), 'invalid_api_key');
    assert.equal(code(both(EXPIRED, { sub: 'a-1' })), 'invalid_api_key');
    assert.equal(code(both('any_key', { sub: 'a-1' })), 'invalid_api_key');
    assert.equal(code(both(ALICE, { sub: 'a-2' })), 'invalid_token');
    assert.equal(
      caller(AUTHENTICATION_JWT, { 'x-api-key': 'any_key' }, { sub: 'a-1' }),
      'alice',
      'keys are nothing to JWT alone',
    );
  });

  test('of an issuer that the gateway does not have are not looked at', () => {
    const gateway = create(GatewaySchema, {
      authentication: { mode: AUTHENTICATION_JWT, jwtIssuers: [{ name: 'new', issuer: ISSUER }] },
    });
    const lookup = { get: () => undefined, all: () => [] };
    const claims = (issuer: string) => (issuer === 'old' ? { sub: 'a-1' } : undefined);
    const found = identify(lookup, { claims }, gateway, index, NOW_MS);
    assert.ok(isRefusal(found) && found.code === 'missing_api_key');
  });

  test('without a claim that names consumers are of those only who list them', () => {
    const gateway = create(GatewaySchema, {
      authentication: { mode: AUTHENTICATION_JWT, jwtIssuers: [{ name: 'idp', issuer: ISSUER }] },
    });
    const lookup = { get: () => undefined, all: () => [] };
    const found = identify(lookup, { claims: () => ({ '': 'bob', sub: 'bob' }) }, gateway, index, NOW_MS);
    assert.ok(isRefusal(found) && found.code === 'invalid_token');
  });
});

describe('nobody passes unidentified', () => {
  test('by a mode that is not known, or none at all', () => {
    const everything = { ...bearer(ALICE), user: 'alice' };
    for (const mode of [undefined, AuthenticationMode.AUTHENTICATION_MODE_UNSPECIFIED, 5, -1] as (
      | AuthenticationMode
      | undefined
    )[]) {
      assert.equal(refusal(mode, everything, { sub: 'a-1' }).code, 'gateway_unavailable');
    }
  });

  const text = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 600 }),
    fc.constantFrom('Bearer ', 'Bearer fl-', `Bearer ${WITHDRAWN}`, `Bearer ${TOKEN}`, WITHDRAWN, EXPIRED, ''),
  );
  const sent = fc.array(text, { maxLength: 2 });

  test('by any text that is no key; and what was sent is never told', () => {
    fc.assert(
      fc.property(fc.constantFrom(...CREDENTIALS_NEEDED), sent, sent, sent, (mode, authorization, apiKey, user) => {
        const refused = refusal(mode, { authorization, 'x-api-key': apiKey, user });
        assert.equal(errorSpec(refused.code).status, 401);
        const told = JSON.stringify(refused) + errorBody(refused, 'openai');
        for (const secret of [...authorization, ...apiKey]) assert.ok(secret.length < 40 || !told.includes(secret));
      }),
      { numRuns: 1_000 },
    );
  });

  test('by a key with one character changed', () => {
    fc.assert(
      fc.property(fc.nat({ max: 51 }), fc.string({ unit: 'grapheme', minLength: 1, maxLength: 1 }), (at, typed) => {
        const key = ALICE.slice(0, at) + typed + ALICE.slice(at + 1);
        fc.pre(key !== ALICE && key.trim() === key);
        const { code, message } = refusal(AUTHENTICATION_API_KEYS, { 'x-api-key': key });
        assert.equal(code, 'invalid_api_key');
        assert.match(message, key.includes(',') ? /sent twice/ : /typing error/);
      }),
    );
  });
});
