import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { credentials, Metadata, type ServerDuplexStream, status } from '@grpc/grpc-js';
import type { DeltaDiscoveryRequest } from '../proto/gen/envoy/service/discovery/v3/discovery_pb.js';
import { until } from '../test/e2e/harness/until.ts';
import { DeltaClient } from './delta-client.ts';
import type { Authenticate } from './grpc-authentication.ts';
import { createGrpcServer, listenGrpc } from './grpc-listen.ts';
import { declinedCheckMs, openCheckMs } from './limits.ts';
import { deltaServerMethod } from './wire.ts';

/** A server whose handler tells of every call and message that reach it. */
async function serve(t: TestContext, authenticate: Authenticate) {
  const handled: unknown[] = [];
  const reached = Promise.withResolvers<void>();
  const cancelled = Promise.withResolvers<void>();
  const server = createGrpcServer({ authenticate });
  server.addService(
    { delta: deltaServerMethod },
    {
      delta: (call: ServerDuplexStream<DeltaDiscoveryRequest, Buffer>) => {
        handled.push('call');
        call.sendMetadata(new Metadata());
        call.on('error', () => {});
        call.on('cancelled', () => cancelled.resolve());
        call.on('data', ({ node }) => {
          handled.push(node?.id);
          reached.resolve();
        });
      },
    },
  );
  const stopped = new AbortController();
  const { address, closed } = await listenGrpc(server, '127.0.0.1:0', stopped.signal);
  t.after(() => {
    stopped.abort();
    return closed;
  });
  return { address, handled, reached: reached.promise, cancelled: cancelled.promise };
}

/** The first reason for which a client has no connection. */
function refusedClient(t: TestContext, address: string, nodeId = 'node'): Promise<string> {
  const stopped = new AbortController();
  t.after(() => stopped.abort());
  const { signal } = stopped;
  const { promise, resolve } = Promise.withResolvers<string>();
  const onConnection = (connected: boolean, reason: string) => connected || resolve(reason);
  new DeltaClient({ address, nodeId, types: ['t/A'], signal, apply: () => undefined, onConnection });
  return promise;
}

test('a stream that is refused reaches no handler, and its client is told why', async t => {
  const { address, handled } = await serve(t, async () => ({ code: status.UNAUTHENTICATED, details: 'who are you?' }));
  assert.equal(await refusedClient(t, address), 'who are you?');
  assert.deepEqual(handled, []);
});

test('a check that fails refuses the stream', async t => {
  const { address, handled } = await serve(t, () => Promise.reject(new Error('lost')));
  assert.match(await refusedClient(t, address), /could not be checked.*lost/);
  assert.deepEqual(handled, []);
});

test('messages wait for the check', async t => {
  const check = Promise.withResolvers<void>();
  const asked = Promise.withResolvers<string>();
  const { address, handled, reached } = await serve(t, async (_, peer) => {
    asked.resolve(peer);
    await check.promise;
    return { objection: () => undefined };
  });
  refusedClient(t, address);
  assert.match(await asked.promise, /^127\.0\.0\.1:\d+$/);
  assert.deepEqual(handled, []);
  check.resolve();
  await reached;
  assert.deepEqual(handled, ['call', 'node']);
});

test('a message that is objected to ends the stream, and reaches no handler', async t => {
  const objection = { code: status.PERMISSION_DENIED, details: 'not yours' };
  const { address, handled } = await serve(t, async () => ({ objection: () => objection }));
  assert.equal(await refusedClient(t, address), 'not yours');
  assert.deepEqual(new Set(handled), new Set(['call']));
});

test('credentials are asked for every attempt; what they lack is told once, until it is there', async t => {
  const { address } = await serve(t, async () => ({ objection: () => undefined }));
  const heard = Promise.withResolvers<void>();
  const stopped = new AbortController();
  t.after(() => stopped.abort());
  const told: string[] = [];
  let attempts = 0;
  new DeltaClient({
    address,
    nodeId: 'node',
    types: ['t/A'],
    signal: stopped.signal,
    credentials: () => {
      attempts += 1;
      if (attempts < 3) throw new Error('ca.crt is not there yet');
      if (attempts < 4) throw new Error('ca.crt holds no certificate');
      return credentials.createInsecure();
    },
    apply: () => undefined,
    onConnection: (connected, reason) => {
      told.push(connected ? 'connected' : reason);
      if (connected) heard.resolve();
    },
  });
  await heard.promise;
  assert.deepEqual(told, ['ca.crt is not there yet', 'ca.crt holds no certificate', 'connected']);
});

test('a stream ends when what it showed has expired, its handler is told, and its client comes again', async t => {
  let times = 0;
  const { address, cancelled } = await serve(t, async () => {
    times += 1;
    return { endsAtMs: times === 1 ? Date.now() + 50 : undefined, objection: () => undefined };
  });
  assert.match(await refusedClient(t, address), /has expired/);
  await cancelled;
  await until('another stream', () => times > 1);
});

test('who is declined waits until its credentials are others; an open stream begins anew with others', async t => {
  t.mock.timers.enable({ apis: ['setInterval'] });
  // Declined clients wait as long as they ever do, and a second is a second of the mocked clock only.
  t.mock.method(Math, 'random', () => 1);
  let good = false;
  let shown = 0;
  const { address } = await serve(t, async () => {
    shown += 1;
    return good ? { objection: () => undefined } : { code: status.RESOURCE_EXHAUSTED, details: 'cannot tell' };
  });
  let current = credentials.createInsecure();
  const told: string[] = [];
  const stopped = new AbortController();
  t.after(() => stopped.abort());
  new DeltaClient({
    address,
    nodeId: 'node',
    types: ['t/A'],
    signal: stopped.signal,
    credentials: () => current,
    apply: () => undefined,
    onConnection: (connected, reason) => told.push(connected ? 'connected' : reason),
  });
  await until('being declined thrice', () => shown === 3);
  good = true;
  current = credentials.createInsecure();
  await until('the stream', () => {
    t.mock.timers.tick(declinedCheckMs);
    return told.length === 2;
  });
  t.mock.timers.tick(openCheckMs);
  assert.equal(shown, 4, 'the same credentials');
  current = credentials.createInsecure();
  t.mock.timers.tick(openCheckMs);
  await until('another stream', () => told.length === 4);
  assert.deepEqual(told, ['cannot tell', 'connected', 'the credentials changed', 'connected']);
});
