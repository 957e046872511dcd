import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Metadata, status } from '@grpc/grpc-js';
import { agentAuthentication, type RefusalEvent } from './agent-authentication.ts';
import type { Verdict } from './token-reviewer.ts';

function authentication(verdict: Verdict) {
  const events: RefusalEvent[] = [];
  const reviewed: string[] = [];
  const review = async (token: string) => {
    reviewed.push(token);
    return verdict;
  };
  return {
    ...agentAuthentication({ reviewer: { review }, onEvent: event => events.push(event) }),
    events,
    reviewed,
  };
}

function bearer(token: string): Metadata {
  const metadata = new Metadata();
  metadata.set('authorization', `Bearer ${token}`);
  return metadata;
}

const codeOf = (answer: object) => ('code' in answer ? answer.code : undefined);

test('no token, a bad one, and one that nobody can judge', async () => {
  const { authenticate, events, reviewed } = authentication({ kind: 'refused', reason: 'it is of another' });
  const nothing = await authenticate(new Metadata(), '10.0.0.1:1');
  assert.deepEqual(nothing, {
    code: status.UNAUTHENTICATED,
    details: 'no token: start the agent with --control-plane-token',
  });
  assert.deepEqual(reviewed, []);
  const bad = await authenticate(bearer('x.y.z'), '10.0.0.2:1');
  assert.deepEqual(bad, { code: status.UNAUTHENTICATED, details: 'the token is refused: it is of another' });
  assert.deepEqual(reviewed, ['x.y.z']);
  assert.deepEqual(
    events.map(({ peer, reason }) => [peer, reason]),
    [
      ['10.0.0.1', 'no token: start the agent with --control-plane-token'],
      ['10.0.0.2', 'the token is refused: it is of another'],
    ],
  );
  const later = authentication({ kind: 'unknown', reason: 'away' });
  assert.equal(codeOf(await later.authenticate(bearer('t'), '10.0.0.1:1')), status.RESOURCE_EXHAUSTED);
  assert.deepEqual(later.counts, { admitted: 0, refused: 0, deferred: 1 });
});

test('a peer that keeps coming is told of now and then, and counted', async () => {
  const { authenticate, events, counts } = authentication({ kind: 'refused', reason: 'no' });
  for (let port = 1; port <= 50; port++) await authenticate(bearer('t'), `10.0.0.1:${port}`);
  assert.equal(events.length, 1);
  assert.equal(counts.refused, 50);
});

test('an agent speaks for the pod that its token is bound to, by either stream', async () => {
  const { authenticate } = authentication({ kind: 'accepted', pod: 'gateway-0' });
  const admission = await authenticate(bearer('t'), '10.0.0.1:1');
  const objection = (message: unknown) =>
    'objection' in admission ? admission.objection(message)?.details : assert.fail('not admitted');
  assert.equal(objection({ node: { id: 'gateway-0' } }), undefined);
  assert.equal(objection({ nodeId: 'gateway-0' }), undefined);
  assert.equal(objection({ node: undefined, typeUrl: 't' }), undefined);
  const details = 'the token is of pod gateway-0, which may not speak for node "gateway-1"';
  assert.equal(objection({ node: { id: 'gateway-1' } }), details);
  assert.equal(objection({ nodeId: 'gateway-1' }), details);
});

test('a token that is bound to no pod may speak for any', async () => {
  const { authenticate, counts } = authentication({ kind: 'accepted', pod: undefined });
  const admission = await authenticate(bearer('t'), '10.0.0.1:1');
  assert.equal('objection' in admission && admission.objection({ nodeId: 'x' }), undefined);
  assert.equal(counts.admitted, 1);
});

test('a stream ends five minutes after its token', async () => {
  const { authenticate } = authentication({ kind: 'accepted', pod: undefined });
  const exp = 1_900_000_000;
  const payload = Buffer.from(JSON.stringify({ aud: ['a'], sub: 's', exp })).toString('base64url');
  const admission = await authenticate(bearer(`e30.${payload}.c2ln`), '10.0.0.1:1');
  assert.equal('objection' in admission && admission.endsAtMs, (exp + 300) * 1_000);
});

test('a peer is told of by its whole address, whichever kind', async () => {
  const { authenticate, onFailedHandshake, events } = authentication({ kind: 'refused', reason: 'no' });
  onFailedHandshake('fd00::17', 'ECONNRESET');
  onFailedHandshake('10.0.0.2', 'ECONNRESET');
  await authenticate(bearer('t'), 'fd00::18:40000');
  await authenticate(bearer('t'), '10.0.0.3:40000');
  assert.deepEqual(
    events.map(({ peer }) => peer),
    ['fd00::17', '10.0.0.2', 'fd00::18', '10.0.0.3'],
  );
});
