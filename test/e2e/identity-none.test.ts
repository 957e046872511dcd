import assert from 'node:assert/strict';
import { get } from 'node:http';
import { after, before, suite, test } from 'node:test';
import { signingKey, TokenIssuer } from '../envoy/token-issuer.ts';
import { assertOpenAiError, send } from './harness/answer.ts';
import { bearer, consumer, makeKey } from './harness/consumer.ts';
import { Fleet } from './harness/fleet.ts';
import { answerToHead, type HeaderLines } from './harness/head-only.ts';
import { RawConnection } from './harness/raw-connection.ts';
import { until } from './harness/until.ts';

const CHAT = 'POST /v1/chat/completions';
const BODY = { model: 'llama', messages: [{ role: 'user', content: 'Hi' }], max_tokens: 2 };
const daily = (requests: number) => ({ requests, per: 'day' });

suite('authentication none: the user header names the caller', () => {
  let fleet: Fleet;
  const key = makeKey();
  const ask = (headers: Record<string, string> = {}, line = CHAT, body: object = BODY) =>
    send(fleet.gateway.url, line, { headers, ...(line.startsWith('POST') && { body }) });
  const callerOf = async (headers: Record<string, string> = {}) =>
    JSON.parse((await ask(headers, 'GET /v1/usage')).body).consumer;

  before(async () => {
    fleet = await Fleet.start({ logLevel: 'debug', gateway: { anonymous: { limits: [daily(5)] } } });
    fleet.gateway.write('consumers.yaml', [
      consumer('alice', { users: ['Alice L.', 'a.l'], apiKeys: [{ sha256: key.sha256 }] }),
      consumer('capped', { limits: [daily(1)] }),
      consumer('renamed', { models: ['public-name'] }),
    ]);
    await until('alice is known', async () => (await callerOf({ user: 'alice' })) === 'alice');
  });
  after(() => fleet?.close());

  test('a Consumer is known by its name, with its namespace too, and by the users that it lists', async () => {
    for (const user of ['alice', 'default/alice', 'Alice L.', 'a.l', ' alice ']) {
      assert.equal(await callerOf({ user }), 'alice', user);
    }
    for (const user of ['', 'Alice', 'alice l.', 'team/alice', 'ali', 'bob']) {
      assert.equal(await callerOf({ user }), 'anonymous', user);
    }
    assert.equal(await callerOf(), 'anonymous');
  });

  test('credentials of any kind say nothing, and reach no pod', async () => {
    const CREDENTIALS: readonly HeaderLines[] = [
      [['authorization', 'Bearer any_key']],
      [['authorization', `Bearer ${key.key}`]],
      [['authorization', 'Bearer eyJhbGciOiJub25lIn0.e30.']],
      [['authorization', 'Basic YWxpY2U6eA==']],
      [['x-api-key', 'any_key']],
      [
        ['authorization', 'Bearer any_key'],
        ['x-api-key', 'another_key'],
        ['cookie', 'session=any_key'],
      ],
      [
        ['x-api-key', 'any_key'],
        ['x-api-key', 'another_key'],
      ],
    ];
    for (const headers of CREDENTIALS) {
      const anonymous = await answerToHead(fleet.gateway.port, 'GET /v1/usage', headers);
      assert.equal(JSON.parse(anonymous?.body ?? '').consumer, 'anonymous');
      const alice = await answerToHead(fleet.gateway.port, 'GET /v1/usage', [...headers, ['user', 'alice']]);
      assert.equal(JSON.parse(alice?.body ?? '').consumer, 'alice');
      const before = fleet.chat.requests.length;
      const lines = headers.map(([name, value]) => `${name}: ${value}\r\n`).join('');
      const body = JSON.stringify(BODY);
      const connection = await RawConnection.open(fleet.gateway.port);
      connection.write(
        `${CHAT} HTTP/1.1\r\nhost: gateway\r\nuser: alice\r\n${lines}content-length: ${body.length}\r\n\r\n${body}`,
      );
      assert.equal((await connection.answer())?.status, 200);
      connection.reset();
      const { headers: received } = fleet.chat.requests[before] ?? assert.fail('no request came');
      for (const name of ['authorization', 'x-api-key', 'cookie']) assert.equal(received[name], undefined);
      assert.ok(headers.every(([, value]) => !JSON.stringify(received).includes(value)));
      assert.deepEqual(received.user, ['alice']);
    }
  });

  test('a user that is no name is refused before the body', async () => {
    const before = fleet.requestCount;
    const WRONG: Readonly<Record<string, HeaderLines>> = {
      'was sent more than once': [
        ['user', 'alice'],
        ['user', 'capped'],
      ],
      'is longer than 256 bytes': [['user', 'u'.repeat(257)]],
      'has control characters': [['user', 'ali\u200bce']],
    };
    for (const [what, headers] of Object.entries(WRONG)) {
      const answer = (await answerToHead(fleet.gateway.port, CHAT, headers)) ?? assert.fail();
      const message = new RegExp(`^The user header ${what}\\. `);
      assertOpenAiError(answer, { status: 400, code: 'invalid_parameter', param: 'user', message });
    }
    assert.equal(fleet.requestCount, before);
  });

  test('a Consumer’s models and limits hold for who uses its name', async () => {
    assert.equal((await ask({ user: 'renamed' })).status, 403);
    assert.equal((await ask({ user: 'renamed' }, CHAT, { ...BODY, model: 'public-name' })).status, 200);
    assert.equal((await ask({ user: 'capped' })).status, 200);
    const before = fleet.requestCount;
    assert.equal((await ask({ user: 'capped' })).status, 429);
    assert.equal((await ask({ user: 'default/capped' })).status, 429);
    assert.equal(fleet.requestCount, before);
  });

  test('all whom nobody knows share the limits of the anonymous', async () => {
    const anonymous = [{}, { user: 'x' }, { user: 'y' }, { user: 'z', ...bearer(key.key) }, bearer('any_key')];
    for (const headers of anonymous) assert.equal((await ask(headers)).status, 200);
    const before = fleet.requestCount;
    for (const headers of [...anonymous, { user: 'new' }]) assert.equal((await ask(headers)).status, 429);
    assert.equal(fleet.requestCount, before);
    assert.equal((await ask({ user: 'alice' })).status, 200);
  });

  test('the access log names the Consumer, and all others anonymous', async () => {
    for (const [name, headers] of [
      ['alice', { user: 'Alice L.' }],
      ['anonymous', { user: 'x' }],
      ['anonymous', {}],
    ] as const) {
      const id = (await ask(headers, 'GET /v1/models')).headers.get('x-request-id');
      const line = await until('the line', () => fleet.gateway.accessLog().find(({ request_id }) => request_id === id));
      assert.equal(line.consumer, name);
    }
  });
});

suite('authentication is switched while the gateway runs', () => {
  let fleet: Fleet;
  const key = makeKey();
  before(async () => {
    fleet = await Fleet.start();
    fleet.gateway.write('consumers.yaml', [consumer('alice', { apiKeys: [{ sha256: key.sha256 }] })]);
  });
  after(() => fleet?.close());

  const write = (mode: string, address?: string, jwt?: readonly object[]) =>
    fleet.gateway.writeGateway({
      listeners: [{ name: 'http', port: fleet.gateway.port, ...(address && { address }) }],
      authentication: { mode, ...(jwt && { jwt }) },
    });
  /** Requests one after the other, on one connection where that stays; their statuses in their order. */
  function client(headers: Record<string, string>) {
    const statuses: number[] = [];
    const stopped = new AbortController();
    const done = (async () => {
      while (!stopped.signal.aborted) {
        statuses.push((await fleet.gateway.chat('llama', { headers }, { max_tokens: 2 })).status);
      }
    })();
    return {
      statuses,
      stop: () => {
        stopped.abort();
        return done;
      },
    };
  }
  const last = ({ statuses }: { statuses: readonly number[] }) => statuses.at(-1);

  test('none → apiKeys: from the first refusal on nobody passes without a key, nobody with one is refused, on any connection', async () => {
    const old = await RawConnection.open(fleet.gateway.port);
    const list = 'GET /v1/models HTTP/1.1\r\nhost: gateway\r\n\r\n';
    old.write(list);
    assert.equal((await old.answer())?.status, 200);
    const unknown = [client({}), client(bearer('any_key')), client({ user: 'alice' })];
    const known = client(bearer(key.key));
    await until('answers', () => [...unknown, known].every(each => last(each) === 200));
    write('apiKeys', '127.0.0.1');
    await until('refusals', () => unknown.every(each => last(each) === 401));
    old.write(list);
    assert.equal((await old.answer())?.status, 401);
    old.reset();
    const counts = unknown.map(({ statuses }) => statuses.length);
    await until('twenty more of each', () =>
      unknown.every(({ statuses }, index) => statuses.length > (counts[index] ?? 0) + 20),
    );
    await Promise.all([...unknown, known].map(each => each.stop()));
    for (const { statuses } of unknown) {
      assert.deepEqual(new Set(statuses.slice(statuses.indexOf(401))), new Set([401]));
      assert.deepEqual(new Set(statuses.slice(0, statuses.indexOf(401))), new Set([200]));
    }
    assert.deepEqual(new Set(known.statuses), new Set([200]));
  });

  test('apiKeys → none: all pass', async () => {
    write('none', '127.0.0.1');
    await until('answers', async () => (await fleet.gateway.chat('llama')).status === 200);
  });

  /** What somebody on another machine is answered, who comes to another address; undefined where nobody listens. */
  const fromElsewhere = (headers: Record<string, string> = {}): Promise<number | undefined> =>
    new Promise(resolve => {
      const where = { host: '127.0.0.2', port: fleet.gateway.port, path: '/v1/models' };
      get({ ...where, headers, agent: false }, response => {
        response.resume().on('end', () => resolve(response.statusCode));
      }).on('error', () => resolve(undefined));
    });

  test('where no address is given, it is open to other machines as long as it asks for keys, and no moment longer', async () => {
    const seen = new Set<number | undefined>([await fromElsewhere()]);
    for (const mode of ['apiKeys', 'none', 'apiKeys', 'none']) {
      write(mode);
      await until(mode, async () => {
        const status = await fromElsewhere();
        seen.add(status);
        return status === (mode === 'none' ? undefined : 401);
      });
      const here = mode === 'none' ? 200 : 401;
      await until(
        `${here} here`,
        async () => (await fleet.gateway.chat('llama').catch(() => undefined))?.status === here,
      );
      assert.deepEqual((await fleet.gateway.node()).envoy.refused, []);
      if (mode === 'apiKeys') assert.equal(await fromElsewhere(bearer(key.key)), 200);
    }
    assert.deepEqual(seen, new Set([undefined, 401]));
  });

  test('none → jwt: good tokens are taken, others refused, and keys too', async () => {
    const issuer = new TokenIssuer('https://issuer.example', await signingKey('k1'));
    const jwksUrl = `http://127.0.0.1:${await issuer.listen()}/keys`;
    try {
      const [ann, alice] = [await issuer.token(), await issuer.token({ sub: 'alice' })];
      assert.equal((await fleet.gateway.chat('llama', { headers: bearer(ann) })).status, 200);
      write('jwt', undefined, [{ issuer: issuer.name, jwksUrl, consumerClaim: 'sub' }]);
      const status = async (headers: Record<string, string>) =>
        (await fleet.gateway.chat('llama', { headers }).catch(() => undefined))?.status;
      await until('no token, no answer', async () => (await status({})) === 401);
      await until('a good token', async () => (await status(bearer(alice))) === 200);
      for (const secret of [ann, key.key, 'eyJ']) assert.equal(await status(bearer(secret)), 401);
      assert.deepEqual((await fleet.gateway.node()).envoy.refused, []);
    } finally {
      await issuer.close();
    }
  });
});
