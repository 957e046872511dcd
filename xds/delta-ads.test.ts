import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import fc from 'fast-check';
import { DeltaClient } from './delta-client.ts';
import { createGrpcServer, listenGrpc } from './grpc-listen.ts';
import type { Resource } from './resource.ts';
import { resource } from './simulated-client.ts';
import { A, B, TestClient, TestServer, V } from './test-network.ts';

async function socketAddress(t: { after(act: () => Promise<void>): void }): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'fairlead-xds-'));
  t.after(() => rm(directory, { recursive: true }));
  return `unix:${join(directory, 'ads')}`;
}

function soon(): AbortSignal {
  return AbortSignal.timeout(20_000);
}

/** Everything that there is to be, as `replace` takes it. */
function state(version: string, ...resources: readonly Resource[]): [string, Resource[]] {
  return [version, [...resources, resource(V, 'v', version)]];
}

async function pair(t: TestContext): Promise<{ server: TestServer; client: TestClient }> {
  const server = new TestServer(await socketAddress(t));
  const client = new TestClient(server.address, 'node');
  await server.start();
  t.after(async () => {
    client.stop();
    await server.stop();
  });
  return { server, client };
}

test('a client that was there before the server gets everything, and says so', async t => {
  const { server, client } = await pair(t);
  const sequence = server.ads.replace(...state('1', resource(A, 'a', '1'), resource(B, 'b', '1')));
  const settled = await server.ads.settled('node', sequence, soon());
  assert.equal(settled.nodeId, 'node');
  assert.deepEqual(settled.refused, []);
  assert.deepEqual(client.state(), { [A]: { a: '1' }, [B]: { b: '1' } });
  assert.deepEqual(
    client.updates.map(({ typeUrl, systemVersion }) => [typeUrl, systemVersion]),
    [A, B, V].map(type => [type, '1']),
  );
  assert.equal(client.connected, true);
  assert.deepEqual(server.ads.clients(), [settled]);
});

test('a server that is not there is told of once, until it is', async t => {
  const address = await socketAddress(t);
  const stopped = new AbortController();
  const seen: boolean[] = [];
  const heard = Promise.withResolvers<void>();
  const connection = Promise.withResolvers<void>();
  new DeltaClient({
    address,
    nodeId: 'node',
    types: [A],
    signal: stopped.signal,
    apply: () => undefined,
    onConnection: (connected, reason) => {
      seen.push(connected);
      if (connected) connection.resolve();
      else if (reason !== '') heard.resolve();
    },
  });
  await heard.promise;
  assert.deepEqual(seen, [false]);
  const server = new TestServer(address);
  await server.start();
  await connection.promise;
  assert.deepEqual(seen, [false, true]);
  stopped.abort();
  await server.stop();
});

test('what is refused keeps its old version, and the server knows the words', async t => {
  const { server, client } = await pair(t);
  server.ads.replace(...state('1', resource(A, 'a', '1'), resource(A, 'b', '1')));
  await client.until(() => client.version() === '1');
  const bad = { ...resource(A, 'a', '2'), body: Buffer.from('bad') };
  const sequence = server.ads.replace(...state('2', bad, resource(A, 'b', '2')));
  const settled = await server.ads.settled('node', sequence, soon());
  assert.deepEqual(settled.refused, [{ typeUrl: A, name: 'a', message: '"a": bad' }]);
  assert.deepEqual(client.state()[A], { a: '1', b: '2' });
  assert.ok(server.events.some(event => event.kind === 'refused' && event.resources[0]?.name === 'a'));
  const mended = await server.ads.settled(
    'node',
    server.ads.replace(...state('3', resource(A, 'a', '3'), resource(A, 'b', '2'))),
    soon(),
  );
  assert.deepEqual(mended.refused, []);
  assert.deepEqual(client.state()[A], { a: '3', b: '2' });
});

test('an update that makes the client throw is refused, and the next one is taken', async t => {
  const server = new TestServer(await socketAddress(t));
  await server.start();
  const stopped = new AbortController();
  new DeltaClient({
    address: server.address,
    nodeId: 'node',
    types: [A, B, V],
    signal: stopped.signal,
    apply: ({ upserts }) => {
      if (upserts.some(({ version }) => version === 'broken')) throw new Error('cannot');
      return undefined;
    },
  });
  t.after(async () => {
    stopped.abort();
    await server.stop();
  });
  const refused = await server.ads.settled(
    'node',
    server.ads.replace(...state('1', resource(A, 'a', 'broken'))),
    soon(),
  );
  assert.deepEqual(refused.refused, [{ typeUrl: A, name: 'a', message: 'Error: cannot' }]);
  const taken = await server.ads.settled('node', server.ads.replace(...state('2', resource(A, 'a', '1'))), soon());
  assert.deepEqual(taken.refused, []);
});

test('after a restart of the server, only differences are sent', async t => {
  const { server, client } = await pair(t);
  const many = Array.from({ length: 100 }, (_, index) => resource(A, `a${index}`, '1'));
  server.ads.replace(...state('1', ...many));
  await client.until(() => client.version() === '1');
  await server.stop();
  await client.until(() => !client.connected);
  client.updates.length = 0;
  const sequence = server.ads.replace(...state('2', ...many.slice(1), resource(A, 'a1', '2')));
  await server.start();
  await server.ads.settled('node', sequence, soon());
  const sent = client.updates.filter(({ typeUrl }) => typeUrl === A);
  assert.deepEqual(
    sent.flatMap(({ upserts }) => upserts.map(({ name }) => name)),
    ['a1'],
  );
  assert.deepEqual(
    sent.flatMap(({ removals }) => removals),
    ['a0'],
  );
  assert.equal(client.version(), '2');
});

test('a server that restarts without state takes nothing away', async t => {
  const { server, client } = await pair(t);
  server.ads.replace(...state('1', resource(A, 'a', '1')));
  await client.until(() => client.version() === '1');
  await server.stop();
  await server.start();
  await client.until(() => client.connected);
  const sequence = server.ads.replace(...state('1', resource(A, 'a', '1')));
  await server.ads.settled('node', sequence, soon());
  assert.deepEqual(
    client.updates.flatMap(({ removals }) => removals),
    [],
  );
});

test('a server knows who is connected, and each client is measured alone', async t => {
  const { server, client } = await pair(t);
  const other = new TestClient(server.address, 'other');
  const sequence = server.ads.replace(...state('1', resource(A, 'a', '1')));
  await Promise.all(['node', 'other'].map(nodeId => server.ads.settled(nodeId, sequence, soon())));
  assert.deepEqual(
    server.ads
      .clients()
      .map(({ nodeId }) => nodeId)
      .sort(),
    ['node', 'other'],
  );
  other.stop();
  await server.ads.settled('node', server.ads.replace(...state('2')), soon());
  assert.deepEqual(client.state()[A], {});
  await assert.rejects(server.ads.settled('other', server.ads.sequence, AbortSignal.timeout(50)), {
    name: 'TimeoutError',
  });
  assert.deepEqual(
    server.ads.clients().map(({ nodeId }) => nodeId),
    ['node'],
  );
  assert.ok(server.events.some(event => event.kind === 'disconnected' && event.client.nodeId === 'other'));
});

test('a signal that has aborted opens nothing', async t => {
  const { server, client } = await pair(t);
  server.ads.replace(...state('1'));
  await client.until(() => client.version() === '1');
  client.stop();
  await client.until(() => !client.connected);
  const gone = new TestClient(server.address, 'gone');
  gone.stop();
  await client.until(() => !gone.connected);
  await assert.rejects(server.ads.settled('gone', 0, AbortSignal.timeout(50)), { name: 'TimeoutError' });
});

test('a socket left over by a dead process is replaced; a file that is no socket is not', async t => {
  const address = await socketAddress(t);
  const { createServer } = await import('node:net');
  const { writeFile, rename, stat } = await import('node:fs/promises');
  const path = address.slice('unix:'.length);
  const dead = createServer().listen(`${path}.dead`);
  await new Promise(resolve => dead.once('listening', resolve));
  await rename(`${path}.dead`, path);
  await new Promise(resolve => dead.close(resolve));
  const stopped = new AbortController();
  const { closed } = await listenGrpc(createGrpcServer(), address, stopped.signal);
  assert.equal((await stat(path)).mode & 0o777, 0o600);
  stopped.abort();
  await closed;
  await writeFile(path, 'precious');
  await assert.rejects(listenGrpc(createGrpcServer(), address, new AbortController().signal));
  assert.ok((await stat(path)).isFile());
});

test('over any updates and disconnections, the client ends up with what there is', async t => {
  const versions = fc.dictionary(fc.constantFrom('a', 'b', 'c'), fc.constantFrom('1', '2', '3'));
  const step = fc.oneof(
    { weight: 5, arbitrary: fc.record({ a: versions, b: versions }) },
    { weight: 1, arbitrary: fc.constant('restart' as const) },
    { weight: 1, arbitrary: fc.constant('breathe' as const) },
  );
  const address = await socketAddress(t);
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 8 }), async steps => {
      const server = new TestServer(address);
      const client = new TestClient(address, 'node');
      await server.start();
      let last = { a: {}, b: {} };
      let version = 0;
      const replace = () => {
        version += 1;
        const ofType = (type: string, held: Record<string, string>) =>
          Object.entries(held).map(([name, value]) => resource(type, name, value));
        return server.ads.replace(...state(String(version), ...ofType(A, last.a), ...ofType(B, last.b)));
      };
      try {
        for (const each of steps) {
          if (each === 'restart') {
            await server.stop();
            replace();
            await server.start();
          } else if (each === 'breathe') {
            await server.ads.settled('node', replace(), soon());
          } else {
            last = each;
            replace();
          }
        }
        await server.ads.settled('node', replace(), soon());
        assert.deepEqual(client.state(), { [A]: { ...last.a }, [B]: { ...last.b } });
        assert.equal(client.version(), String(version));
      } finally {
        client.stop();
        await server.stop();
      }
    }),
    { numRuns: 25 },
  );
});
