import assert from 'node:assert/strict';
import { mock, type TestContext, test } from 'node:test';
import type { ApiRequest, Reply } from '../api/api-connection.ts';
import { fieldsOf } from '../api/api-failure.ts';
import { TokenReviewer } from './token-reviewer.ts';

const AUDIENCE = 'fairlead-control-plane';
const ACCOUNT = { namespace: 'fairlead', name: 'gateway' };
const SUBJECT = 'system:serviceaccount:fairlead:gateway';
const NOW_S = Date.parse('2030-01-01T00:00:00Z') / 1_000;

function token(claims: Readonly<Record<string, unknown>> = {}): string {
  const payload = { aud: [AUDIENCE], sub: SUBJECT, exp: NOW_S + 3_600, ...claims };
  return `e30.${Buffer.from(JSON.stringify(payload)).toString('base64url')}.c2ln`;
}

const authenticated = {
  authenticated: true,
  audiences: [AUDIENCE],
  user: { username: SUBJECT, extra: { 'authentication.kubernetes.io/pod-name': ['gateway-0'] } },
};

/** A reviewer over an API server whose answer can be changed, at a time that stands still until it is ticked. */
function reviewing(t: TestContext) {
  mock.timers.enable({ apis: ['Date'], now: NOW_S * 1_000 });
  t.after(() => mock.timers.reset());
  const requests: ApiRequest[] = [];
  const server: { answer: Record<string, unknown> | Error | Reply } = { answer: authenticated };
  const reviewer = new TokenReviewer({
    api: {
      send: async request => {
        requests.push(request);
        await new Promise(setImmediate);
        const { answer } = server;
        if (answer instanceof Error) throw answer;
        return 'failure' in answer ? (answer as Reply) : { object: { status: answer } };
      },
    },
    audience: AUDIENCE,
    account: ACCOUNT,
  });
  const kind = async (text: string) => (await reviewer.review(text)).kind;
  return { reviewer, requests, server, kind };
}

const accepted = { kind: 'accepted', pod: 'gateway-0' };

test('the API server is asked once for a minute, with the audience', async t => {
  const { reviewer, requests } = reviewing(t);
  const verdicts = await Promise.all([token(), token(), token()].map(each => reviewer.review(each)));
  assert.deepEqual(verdicts, [accepted, accepted, accepted]);
  assert.deepEqual(fieldsOf(requests[0]?.body).spec, { token: token(), audiences: [AUDIENCE] });
  mock.timers.tick(59_000);
  await reviewer.review(token());
  assert.equal(requests.length, 1);
  mock.timers.tick(2_000);
  await reviewer.review(token());
  assert.equal(requests.length, 2);
});

test('what a token says of itself is reason enough to refuse it, and never to accept it', async t => {
  const { reviewer, requests, server } = reviewing(t);
  const reasons: string[] = [];
  const bad = [
    'garbage',
    'a.b.c',
    token({ aud: ['https://kubernetes.default.svc'] }),
    token({ sub: 'system:serviceaccount:other:gateway' }),
    token({ exp: NOW_S - 61 }),
    'x'.repeat(20_000),
  ];
  for (const each of bad) {
    const verdict = await reviewer.review(each);
    reasons.push(verdict.kind === 'refused' ? verdict.reason : verdict.kind);
  }
  assert.deepEqual(reasons, [
    'it is no token of a ServiceAccount',
    'it is no token of a ServiceAccount',
    'its audience is "https://kubernetes.default.svc", not fairlead-control-plane',
    'it is of "system:serviceaccount:other:gateway", not of ServiceAccount fairlead/gateway',
    'it expired at 2029-12-31T23:58:59.000Z',
    'it is no token of a ServiceAccount',
  ]);
  assert.equal(requests.length, 0);
  server.answer = { authenticated: false, error: 'invalid bearer token' };
  assert.deepEqual(await reviewer.review(token()), { kind: 'refused', reason: 'invalid bearer token' });
});

test('the API server has the last word on audience and account', async t => {
  const { server, kind } = reviewing(t);
  server.answer = { authenticated: true, user: { username: SUBJECT } };
  assert.equal(await kind(token({ jti: '1' })), 'refused');
  server.answer = { ...authenticated, audiences: ['other'] };
  assert.equal(await kind(token({ jti: '2' })), 'refused');
  server.answer = { ...authenticated, user: { username: 'system:serviceaccount:fairlead:other' } };
  assert.equal(await kind(token({ jti: '3' })), 'refused');
});

test('a refusal is remembered for ten seconds', async t => {
  const { server, kind, requests } = reviewing(t);
  server.answer = { authenticated: false };
  assert.equal(await kind(token()), 'refused');
  server.answer = authenticated;
  assert.equal(await kind(token()), 'refused');
  assert.equal(requests.length, 1);
  mock.timers.tick(10_001);
  assert.equal(await kind(token()), 'accepted');
});

test('the API server away: a token that was good stays so for its time, one that is new is to try again', async t => {
  const { server, kind, reviewer } = reviewing(t);
  assert.equal(await kind(token()), 'accepted');
  server.answer = new Error('connect ECONNREFUSED');
  mock.timers.tick(50 * 60_000);
  assert.equal(await kind(token()), 'accepted');
  const verdict = await reviewer.review(token({ jti: 'new' }));
  assert.match(verdict.kind === 'unknown' ? verdict.reason : '', /cannot tell.*ECONNREFUSED/);
  mock.timers.tick(10 * 60_000);
  assert.equal(await kind(token()), 'unknown', 'its own end');
});

test('a token that is refused while it was in its grace is refused', async t => {
  const { server, kind } = reviewing(t);
  await kind(token());
  mock.timers.tick(61_000);
  server.answer = { authenticated: false, error: 'the pod is gone' };
  assert.equal(await kind(token()), 'refused');
  mock.timers.tick(11_000);
  server.answer = new Error('away');
  assert.equal(await kind(token()), 'unknown');
});

test('a permission that lacks is named', async t => {
  const { server, reviewer } = reviewing(t);
  server.answer = { failure: { code: 403, message: 'tokenreviews is forbidden' } };
  const verdict = await reviewer.review(token());
  assert.match(verdict.kind === 'unknown' ? verdict.reason : '', /create on tokenreviews\.authentication\.k8s\.io/);
});

test('strangers cannot make more than so many reviews wait', async t => {
  const { kind, requests } = reviewing(t);
  const kinds = await Promise.all(Array.from({ length: 100 }, (_, jti) => kind(token({ jti }))));
  assert.equal(requests.length, 64);
  assert.equal(kinds.filter(each => each === 'unknown').length, 36);
});
