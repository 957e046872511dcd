import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, afterEach, before, test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { SignJWT, UnsecuredJWT } from 'jose';
import { type SampleModel, sampleTable } from '../../agent/envoy/sample-table.fixture.ts';
import { routeProfile } from '../../agent/table/route-profile.ts';
import { ERRORS } from '../../errors/codes.ts';
import { codeOf } from '../../errors/envoy-replies.ts';
import type { BootstrapJson } from '../../proto/gen/envoy/config/bootstrap/v3/bootstrap_pb.js';
import { AuthenticationMode, AuthenticationSchema } from '../../proto/gen/fairlead/v1/table_pb.js';
import { Authority } from '../e2e/harness/certificates.ts';
import { freePorts } from '../e2e/harness/free-ports.ts';
import { until } from '../e2e/harness/until.ts';
import { type Answer, ask } from './exchange.ts';
import { ScriptedExtproc } from './scripted-extproc.ts';
import { StaticEnvoy } from './static-envoy.ts';
import { type SigningKey, signingKey, TokenIssuer } from './token-issuer.ts';

// What Envoy makes of tokens before extproc sees anything; who the claims are of is extproc's business.

interface Pod {
  readonly address: string;
  readonly server: Server;
  authorization: string | undefined;
}

let pod: Pod;
let models: Record<string, SampleModel>;
let profile: string;
let key: SigningKey;
/** Nobody tells it. */
let stranger: SigningKey;
let both: Both;

/** A gateway before its extproc, both for one test or more. */
interface Gateway {
  readonly envoy: StaticEnvoy;
  readonly extproc: ScriptedExtproc;
}

before(async () => {
  const server = createServer((request, response) => {
    pod.authorization = request.headers.authorization;
    request.resume().on('end', () => response.end('{}'));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  pod = { address: `127.0.0.1:${(server.address() as AddressInfo).port}`, server, authorization: undefined };
  models = { 'ml/llama': { backends: { main: [[pod.address, 'pod-0']] } } };
  const [model = assert.fail()] = sampleTable(models).models.values();
  profile = routeProfile(model);
  key = await signingKey('k1');
  stranger = await signingKey('k1');
  both = await startBoth();
});

after(async () => {
  await stop(both.gateway);
  await both.first.close();
  await both.second.close();
  pod.server.closeAllConnections();
  pod.server.close();
});

interface Asked {
  readonly issuer: string;
  readonly jwksUrl: string;
  readonly ca?: { readonly secret: string; readonly key: string };
}

async function startGateway(
  issuers: readonly Asked[],
  more: Pick<Parameters<typeof StaticEnvoy.start>[0] & object, 'secrets' | 'edit'> = {},
): Promise<Gateway> {
  const jwtIssuers = issuers.map((issuer, index) => ({ ...issuer, name: `jwt-${index}`, audiences: ['fairlead'] }));
  const authentication = create(AuthenticationSchema, {
    mode: AuthenticationMode.AUTHENTICATION_API_KEYS_OR_JWT,
    jwtIssuers,
  });
  const envoy = await StaticEnvoy.start({ models, gateway: { authentication }, ...more });
  const extproc = new ScriptedExtproc();
  await extproc.listen(envoy.extprocSocket);
  extproc.script = { cluster: 'ml/llama', profile, candidates: [pod.address] };
  return { envoy, extproc };
}

async function stop({ envoy, extproc }: Gateway): Promise<void> {
  await envoy.stop();
  await extproc.close();
}

function send(
  { envoy, extproc }: Gateway,
  headers: Readonly<Record<string, string>>,
  path = '/v1/chat/completions',
): Promise<Answer> {
  extproc.shown = undefined;
  extproc.jwt = undefined;
  return ask(envoy.port, { path, body: '{}', headers: { 'content-type': 'application/json', ...headers } });
}

function bearer(token: string): { authorization: string } {
  return { authorization: `Bearer ${token}` };
}

function codeIn({ body }: Answer): unknown {
  return JSON.parse(body).error?.code;
}

/** The keys of an issuer are fetched in the background: until they are, its tokens are refused. */
function untilTaken(gateway: Gateway, token: string): Promise<Answer> {
  return until('a good token is taken', async () => {
    const answer = await send(gateway, bearer(token));
    return answer.status === 200 && answer;
  });
}

const FIRST = 'https://first.example/';
const SECOND = 'https://second.example/';

/** Two issuers, both there. */
interface Both {
  readonly gateway: Gateway;
  readonly first: TokenIssuer;
  readonly second: TokenIssuer;
}

async function startBoth(): Promise<Both> {
  const [first, second] = [new TokenIssuer(FIRST, key), new TokenIssuer(SECOND, await signingKey('k2'))];
  const urls = [await first.listen(), await second.listen()].map(port => `http://127.0.0.1:${port}/keys?a=b`);
  const gateway = await startGateway([
    { issuer: FIRST, jwksUrl: urls[0] ?? '' },
    { issuer: SECOND, jwksUrl: urls[1] ?? '' },
  ]);
  for (const issuer of [first, second]) await untilTaken(gateway, await issuer.token());
  return { gateway, first, second };
}

afterEach(() => assert.deepEqual(both.gateway.envoy.bugs, []));

test('the claims of a good token are shown to extproc under its issuer’s name, and the token goes no further', async () => {
  const { gateway, first, second } = both;
  const claims = { org: { team: 'search', roles: ['a', 1, null] }, 'https://x/y': true, sub: 'ann' };
  assert.equal((await send(gateway, bearer(await first.token(claims)))).status, 200);
  const seen = JSON.parse(JSON.stringify(gateway.extproc.jwt));
  assert.deepEqual(Object.keys(seen), ['jwt-0']);
  const { iss, aud, exp, ...rest } = seen['jwt-0'];
  assert.deepEqual([iss, aud, typeof exp], [FIRST, 'fairlead', 'number']);
  assert.deepEqual(rest, claims);
  assert.equal(gateway.extproc.shown?.get('authorization'), undefined);
  assert.equal(pod.authorization, undefined);
  assert.equal((await send(gateway, bearer(await second.token()))).status, 200);
  assert.deepEqual(Object.keys(gateway.extproc.jwt ?? {}), ['jwt-1']);
});

const seconds = (offset: number) => Math.floor(Date.now() / 1000) + offset;

test('a clock may be off by a minute, and not by more', async () => {
  const { gateway, first } = both;
  const status = async (claims: Readonly<Record<string, unknown>>) =>
    (await send(gateway, bearer(await first.token(claims)))).status;
  assert.equal(await status({ exp: seconds(-30) }), 200);
  assert.equal(await status({ nbf: seconds(30) }), 200);
  assert.equal(await status({ exp: seconds(-90) }), 401);
  assert.equal(await status({ nbf: seconds(90) }), 401);
});

/** A token with the header of our choice, signed with a secret that an attacker knows: the public key itself. */
async function confused(): Promise<string> {
  const secret = Buffer.from(key.publicJwk.n ?? '', 'base64url');
  const payload = { iss: FIRST, aud: 'fairlead', sub: 'ann', exp: seconds(300) };
  return new SignJWT(payload).setProtectedHeader({ alg: 'HS256', kid: 'k1' }).sign(secret);
}

const unsigned = () =>
  new UnsecuredJWT({ sub: 'ann' }).setIssuer(FIRST).setAudience('fairlead').setExpirationTime('5m').encode();

const REFUSED: Readonly<
  Record<string, readonly [code: 'invalid_token' | 'expired_token', token: () => string | Promise<string>]>
> = {
  'that has expired': ['expired_token', () => both.first.token({ exp: seconds(-120) })],
  'of the second issuer that has expired': ['expired_token', () => both.second.token({ exp: seconds(-120) })],
  'that never expires': ['invalid_token', () => both.first.token({ exp: undefined })],
  'that is not valid yet': ['invalid_token', () => both.first.token({ nbf: seconds(120) })],
  'for another audience': ['invalid_token', () => both.first.token({ aud: 'other' })],
  'for no audience': ['invalid_token', () => both.first.token({ aud: undefined })],
  'of an unknown issuer': ['invalid_token', () => both.first.token({ iss: 'https://evil.example/' })],
  'of no issuer': ['invalid_token', () => both.first.token({ iss: undefined })],
  'that says to be of the other issuer': ['invalid_token', () => both.first.token({ iss: SECOND })],
  'signed by another key': ['invalid_token', () => both.first.token({}, stranger)],
  'signed by a key that nobody told': ['invalid_token', () => both.first.token({}, { ...key, kid: 'unknown' })],
  'without a signature': ['invalid_token', unsigned],
  'signed with the public key as a secret': ['invalid_token', confused],
  'whose claims were changed': [
    'invalid_token',
    async () => {
      const [head, , signature] = (await both.first.token()).split('.');
      const claims = { iss: FIRST, aud: 'fairlead', sub: 'root', exp: seconds(300) };
      return `${head}.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.${signature}`;
    },
  ],
  'that is none': ['invalid_token', () => 'eyJ'],
  'that is a key which looks like one': ['invalid_token', () => 'eyJhbGciOiJSUzI1NiJ9'],
  'that is very long': ['invalid_token', () => `eyJ${'a'.repeat(40_000)}.e30.x`],
  'sent with a key in the same header': ['invalid_token', async () => `${await both.first.token()}, Bearer sk-1`],
  'sent with another one': [
    'invalid_token',
    async () => `${await both.first.token()},Bearer ${await both.second.token()}`,
  ],
};

for (const [what, [code, token]] of Object.entries(REFUSED)) {
  test(`a token ${what} is ${code} in the shape of the caller, and extproc is not asked`, async () => {
    const { gateway } = both;
    const id = `refused ${what}`.replaceAll(' ', '-');
    const headers = { ...bearer(await token()), 'x-request-id': id };
    const answer = await send(gateway, headers);
    assert.deepEqual([answer.status, codeIn(answer)], [401, code]);
    assert.equal(answer.headers['content-type'], 'application/json');
    assert.equal(answer.headers['www-authenticate'], 'Bearer error="invalid_token"');
    const anthropic = await send(gateway, headers, '/v1/messages');
    assert.equal(anthropic.status, 401);
    assert.deepEqual(JSON.parse(anthropic.body), {
      type: 'error',
      error: { type: 'authentication_error', message: ERRORS[code].message },
    });
    assert.equal(gateway.extproc.shown, undefined);
    const { details, flags } = await gateway.envoy.accessRecord(id);
    assert.equal(
      codeOf(
        String(details),
        new Set(
          String(flags ?? '')
            .split(',')
            .filter(Boolean),
        ),
        401,
      ),
      code,
    );
  });
}

test('what is no bearer token is extproc’s to judge, and has no claims, whatever it looks like', async () => {
  const { gateway, first } = both;
  const token = await first.token();
  const others: Readonly<Record<string, string>>[] = [
    {},
    bearer('sk-fairlead-1'),
    { authorization: `bearer ${token}` },
    { authorization: `Bearer  ${token}` },
    { authorization: `Basic ${token}` },
    { authorization: `Bearer sk-1, Bearer ${token}` },
    { 'x-api-key': token },
  ];
  for (const headers of others) {
    assert.equal((await send(gateway, headers)).status, 200, JSON.stringify(headers));
    assert.equal(gateway.extproc.jwt, undefined);
    assert.equal(gateway.extproc.shown?.get('authorization'), headers.authorization);
  }
  assert.equal((await send(gateway, {}, `/v1/chat/completions?access_token=${token}`)).status, 200);
  assert.equal(gateway.extproc.jwt, undefined);
});

/** Keys are fetched every second. */
function impatient(configuration: BootstrapJson): void {
  const text = JSON.stringify(configuration.staticResources).replaceAll(
    '"cacheDuration":"120.000s"',
    '"cacheDuration":"1s"',
  );
  configuration.staticResources = JSON.parse(text);
}

test('an issuer that is away costs only its tokens, and they are taken once it is there', async () => {
  const issuer = new TokenIssuer(FIRST, key);
  const [port = 0] = await freePorts(1);
  const gateway = await startGateway([{ issuer: FIRST, jwksUrl: `http://127.0.0.1:${port}/keys` }]);
  try {
    const answer = await send(gateway, bearer(await issuer.token()));
    assert.deepEqual([answer.status, codeIn(answer), answer.headers['retry-after']], [503, 'gateway_unavailable', '1']);
    assert.equal((await send(gateway, bearer('sk-1'))).status, 200);
    await issuer.listen(port);
    await untilTaken(gateway, await issuer.token());
  } finally {
    await stop(gateway);
    await issuer.close();
  }
});

test('an issuer that does not answer, or whose name nobody knows, holds up neither start nor keys', async () => {
  const issuer = new TokenIssuer(FIRST, key);
  issuer.hanging = true;
  const gateway = await startGateway([
    { issuer: FIRST, jwksUrl: `http://127.0.0.1:${await issuer.listen()}/keys` },
    { issuer: SECOND, jwksUrl: 'https://no-such-name.invalid/keys' },
  ]);
  try {
    assert.equal((await send(gateway, bearer('sk-1'))).status, 200);
    assert.equal(codeIn(await send(gateway, bearer(await issuer.token()))), 'gateway_unavailable');
  } finally {
    await stop(gateway);
    await issuer.close();
  }
});

test('keys are changed at the issuer alone, and stay while it is away', async () => {
  const issuer = new TokenIssuer(FIRST, key);
  const port = await issuer.listen();
  const jwksUrl = `http://127.0.0.1:${port}/keys`;
  const gateway = await startGateway([{ issuer: FIRST, jwksUrl }], { edit: impatient });
  try {
    const old = await issuer.token();
    await untilTaken(gateway, old);
    const next = await signingKey('k2');
    issuer.keys = [next, key];
    await untilTaken(gateway, await issuer.token());
    assert.equal((await send(gateway, bearer(old))).status, 200);
    issuer.keys = [next];
    await until(
      'the withdrawn key is refused',
      async () => codeIn(await send(gateway, bearer(old))) === 'invalid_token',
    );
    // From here on nobody answers, and Envoy asks at least twice in vain.
    issuer.hanging = true;
    const asked = issuer.asked;
    await until('Envoy asks for keys again', () => issuer.asked > asked + 1);
    assert.equal((await send(gateway, bearer(await issuer.token()))).status, 200);
  } finally {
    await stop(gateway);
    await issuer.close();
  }
});

test('an issuer with TLS is known by its own authority or the system’s, and by its name', async () => {
  const [authority, other] = [new Authority(), new Authority()];
  const issuer = new TokenIssuer(FIRST, key);
  const port = await issuer.listen(0, authority.issue());
  const secrets = { 'ml/ca': { 'ca.crt': authority.certificate }, 'ml/other': { 'ca.crt': other.certificate } };
  const known = { secret: 'ml/ca', key: 'ca.crt' };
  const gatewayFor = (host: string, ca?: { secret: string; key: string }) =>
    startGateway([{ issuer: FIRST, jwksUrl: `https://${host}:${port}/keys`, ...(ca && { ca }) }], { secrets });
  try {
    for (const host of ['localhost', '127.0.0.1']) {
      const gateway = await gatewayFor(host, known);
      await untilTaken(gateway, await issuer.token()).finally(() => stop(gateway));
    }
    const asked = issuer.asked;
    for (const [host, ca] of [
      ['localhost', { ...known, secret: 'ml/other' }],
      ['localhost', undefined],
      ['127.0.0.2', known],
    ] as const) {
      const gateway = await gatewayFor(host, ca);
      const answer = await send(gateway, bearer(await issuer.token())).finally(() => stop(gateway));
      assert.equal(codeIn(answer), 'gateway_unavailable', `${host} ${ca?.secret}`);
    }
    assert.equal(issuer.asked, asked);
  } finally {
    await issuer.close();
    authority.remove();
    other.remove();
  }
});
