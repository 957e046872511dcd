import assert from 'node:assert/strict';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { suite, type TestContext, test } from 'node:test';
import { KubeConfig } from '@kubernetes/client-node';
import { kubeConfigAccess } from '../../api/api-access.ts';
import { ApiConnection } from '../../api/api-connection.ts';
import { SecretWatches } from './secret-watches.ts';

/** Nothing here takes this long; it only ends a test that would hang, milliseconds. */
const timeout = 20_000;

type Reply = (response: ServerResponse) => void;

const status =
  (code: number): Reply =>
  response =>
    response.writeHead(code).end(JSON.stringify({ kind: 'Status', code, message: `told ${code}` }));
const silence: Reply = () => {};

/** A Secret with these values, streamed. */
const secret =
  (values: Readonly<Record<string, string>>): Reply =>
  response => {
    const metadata = { namespace: 'ml', name: 's', uid: 'u', resourceVersion: '1' };
    const data = Object.fromEntries(Object.entries(values).map(([key, text]) => [key, btoa(text)]));
    const annotations = { 'k8s.io/initial-events-end': 'true' };
    response.write(`${JSON.stringify({ type: 'ADDED', object: { metadata, data } })}\n`);
    response.write(
      `${JSON.stringify({ type: 'BOOKMARK', object: { metadata: { resourceVersion: '1', annotations } } })}\n`,
    );
  };

/** Watches of an API server that gives these replies in turn, then the last for ever. */
async function watching(t: TestContext, replies: readonly Reply[], patienceMs = timeout) {
  let asked = 0;
  const server = createServer((_request, response) =>
    (replies[Math.min(asked++, replies.length - 1)] ?? silence)(response),
  );
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const kubeConfig = new KubeConfig();
  const { port } = server.address() as AddressInfo;
  // Without TLS only by saying so.
  kubeConfig.loadFromClusterAndUser(
    { name: 'test', server: `http://127.0.0.1:${port}`, skipTLSVerify: true },
    { name: 'test' },
  );
  const abort = new AbortController();
  let changed = Promise.withResolvers<void>();
  const ring = () => {
    changed.resolve();
    changed = Promise.withResolvers();
  };
  const api = new ApiConnection(kubeConfigAccess(kubeConfig));
  const watches = new SecretWatches({ api, signal: abort.signal, onChange: ring, onEvent: ring, patienceMs });
  t.after(async () => {
    abort.abort();
    await watches.ended();
    server.closeAllConnections();
    server.close();
  });
  const until = async (holds: () => boolean) => {
    while (!holds()) await changed.promise;
  };
  return { watches, until, asked: () => asked };
}

const wanting = (...keys: readonly string[]) => new Map([['ml/s', new Set(keys)]]);

/** What is known of these keys, in short. */
function known(watches: SecretWatches, ...keys: readonly string[]): string {
  const content = watches.look('ml/s', new Set(keys));
  if (content === undefined) return 'nothing';
  const values = Object.entries(content.data ?? {}).map(([key, value]) => `${key}=${Buffer.from(value)}`);
  return content.failure ?? values.join(' ');
}

suite('watches of Secrets', { timeout }, () => {
  test('wait for an API server that is busy, rather than to take the Secret for absent', async t => {
    const { watches, until, asked } = await watching(t, [status(429), status(503), secret({ a: '1', other: 'x' })]);
    watches.follow(wanting('a'));
    await until(() => asked() === 2);
    assert.equal(watches.settled, false);
    await until(() => watches.settled);
    assert.equal(known(watches, 'a'), 'a=1');
  });

  for (const [code, words] of [
    [403, /may not read it/],
    [404, /^not found$/],
  ] as const) {
    test(`are settled at once by ${code}`, async t => {
      const { watches, until } = await watching(t, [status(code)]);
      watches.follow(wanting('a'));
      await until(() => watches.settled);
      assert.match(known(watches, 'a'), words);
    });
  }

  test('stay settled by what was answered last when nothing is for the moment', async t => {
    const { watches, until, asked } = await watching(t, [status(403), status(503), status(503), silence]);
    watches.follow(wanting('a'));
    await until(() => watches.settled);
    await until(() => asked() === 3);
    assert.equal(watches.settled, true);
    assert.match(known(watches, 'a'), /may not read it/);
  });

  test('are settled after a while by an API server that does not answer', async t => {
    const { watches, until } = await watching(t, [silence], 50);
    watches.follow(wanting('a'));
    assert.equal(watches.settled, false);
    await until(() => watches.settled);
    assert.equal(known(watches, 'a'), 'nothing');
  });

  test('go on with what they know while further keys are asked for', async t => {
    const both = { a: '1', b: '2' };
    const { watches, until } = await watching(t, [secret(both), status(503), secret(both)]);
    watches.follow(wanting('a'));
    await until(() => watches.settled);
    watches.follow(wanting('a', 'b'));
    assert.equal(watches.settled, false);
    assert.equal(known(watches, 'a', 'b'), 'a=1');
    await until(() => watches.settled);
    assert.equal(known(watches, 'a', 'b'), 'a=1 b=2');
    watches.follow(wanting('b'));
    assert.equal(watches.settled, true, 'fewer keys are nothing to wait for');
    assert.equal(known(watches, 'b'), 'b=2');
  });

  test('keep what they know when further keys cannot be read', async t => {
    const { watches, until } = await watching(t, [secret({ a: '1' }), silence], 50);
    watches.follow(wanting('a'));
    await until(() => watches.settled);
    watches.follow(wanting('a', 'b'));
    watches.follow(wanting('a', 'b', 'c'));
    await until(() => watches.settled);
    assert.equal(known(watches, 'a', 'b', 'c'), 'a=1');
  });
});
