import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { create, toBinary } from '@bufbuild/protobuf';
import { Client, type ClientDuplexStream, credentials, type StatusObject, status } from '@grpc/grpc-js';
import { DeltaDiscoveryRequestSchema } from '../proto/gen/envoy/service/discovery/v3/discovery_pb.js';
import { atomic } from './atomic-order.ts';
import { DeltaClient } from './delta-client.ts';
import { DeltaServer } from './delta-server.ts';
import { createGrpcServer, listenGrpc } from './grpc-listen.ts';
import { maxUndeclaredTypes } from './limits.ts';
import { resource } from './simulated-client.ts';
import { deltaClientMethod } from './wire.ts';

/** A server with one well-behaved client, and a stream on which anything can be written. */
async function scene(t: TestContext) {
  const directory = await mkdtemp(join(tmpdir(), 'fairlead-xds-'));
  const address = `unix:${join(directory, 'ads')}`;
  const server = new DeltaServer({ order: atomic({ types: ['t/A'], completedBy: 't/V' }) });
  const grpc = createGrpcServer();
  server.addTo(grpc);
  const stopped = new AbortController();
  const { closed } = await listenGrpc(grpc, address, stopped.signal);
  new DeltaClient({ address, nodeId: 'good', types: ['t/A', 't/V'], signal: stopped.signal, apply: () => undefined });
  const client = new Client(address, credentials.createInsecure());
  const call: ClientDuplexStream<Buffer, Buffer> = client.makeBidiStreamRequest(
    deltaClientMethod.path,
    (bytes: Buffer) => bytes,
    (bytes: Buffer) => bytes,
  );
  const ended = new Promise<StatusObject>(resolve => {
    call.on('error', () => {});
    call.on('data', () => {});
    call.on('status', resolve);
  });
  t.after(async () => {
    client.close();
    server.close();
    stopped.abort();
    await closed;
    await rm(directory, { recursive: true });
  });
  const settles = (version: string) => {
    const sequence = server.update({ systemVersion: version, upserts: [resource('t/V', 'v', version)], removals: [] });
    return server.settled('good', sequence, AbortSignal.timeout(20_000));
  };
  return { call, ended, settles };
}

function ask(typeUrl: string): Buffer {
  return Buffer.from(toBinary(DeltaDiscoveryRequestSchema, create(DeltaDiscoveryRequestSchema, { typeUrl })));
}

test('a client that sends what is no request loses its stream; others keep theirs', async t => {
  const { call, ended, settles } = await scene(t);
  await settles('1');
  call.write(Buffer.of(0xff, 0xff, 0xff));
  assert.notEqual((await ended).code, status.OK);
  await settles('2');
});

test('a client that asks for ever more types loses its stream; others keep theirs', async t => {
  const { call, ended, settles } = await scene(t);
  for (let count = 0; count <= maxUndeclaredTypes; count++) call.write(ask(`t/${count}`));
  assert.equal((await ended).code, status.RESOURCE_EXHAUSTED);
  await settles('1');
});

test('a client that never answers gets one response of a type and holds nobody up', async t => {
  const { call, settles } = await scene(t);
  let responses = 0;
  call.on('data', () => {
    responses += 1;
  });
  await settles('1');
  const first = new Promise(resolve => call.once('data', resolve));
  call.write(ask('t/V'));
  await first;
  await settles('2');
  await settles('3');
  assert.equal(responses, 1);
});
