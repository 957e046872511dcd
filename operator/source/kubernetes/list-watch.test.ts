import assert from 'node:assert/strict';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { suite, type TestContext, test } from 'node:test';
import { KubeConfig } from '@kubernetes/client-node';
import { kubeConfigAccess } from '../../api/api-access.ts';
import { ApiConnection } from '../../api/api-connection.ts';
import { followCollection, type ListWatchEvent } from './list-watch.ts';
import { Replica } from './replica.ts';

/** Nothing here takes this long; it only ends a test that would hang, milliseconds. */
const timeout = 20_000;

type Reply = (response: ServerResponse, request: IncomingMessage) => void;

const object = (name: string, version: number) => ({
  metadata: { namespace: 'ml', name, uid: `uid-${name}`, resourceVersion: String(version) },
});
const line = (type: string, content: object) => `${JSON.stringify({ type, object: content })}\n`;
const bookmark = (version: number, annotations = {}) =>
  line('BOOKMARK', { metadata: { resourceVersion: String(version), annotations } });
const listedAt = (version: number) => bookmark(version, { 'k8s.io/initial-events-end': 'true' });

/** The objects of a watch, which goes on. */
const open =
  (...lines: readonly string[]): Reply =>
  response =>
    response.write(lines.join(''));
/** A watch that the server ends. */
const ends =
  (...lines: readonly string[]): Reply =>
  response =>
    response.end(lines.join(''));
const page = (next: string, version: number, ...names: readonly string[]): Reply => {
  const items = names.map(name => object(name, version));
  return ends(JSON.stringify({ metadata: { resourceVersion: String(version), continue: next }, items }));
};
const status =
  (code: number, headers: Record<string, string> = {}): Reply =>
  response =>
    response.writeHead(code, headers).end(JSON.stringify({ kind: 'Status', code, message: `told ${code}` }));
const cut: Reply = response => {
  response.write('{"type":"ADDED","obj');
  setImmediate(() => response.destroy());
};
const nothing: Reply = () => {};

/** A replica that follows a server which gives these replies in turn, then the last for ever. */
async function following(t: TestContext, replies: readonly Reply[], { idleMs = 10_000, optional = false } = {}) {
  const requests: URLSearchParams[] = [];
  const server = createServer((request, response) => {
    const reply = replies[Math.min(requests.length, replies.length - 1)] ?? nothing;
    requests.push(new URL(request.url ?? '', 'http://server').searchParams);
    reply(response, request);
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const kubeConfig = new KubeConfig();
  const { port } = server.address() as AddressInfo;
  // Without TLS only by saying so.
  const cluster = { name: 'test', server: `http://127.0.0.1:${port}`, skipTLSVerify: true };
  kubeConfig.loadFromClusterAndUser(cluster, { name: 'test' });
  const abort = new AbortController();
  const replica = new Replica<{ readonly version: string }>(({ metadata }) => ({ version: metadata.resourceVersion }));
  const events: ListWatchEvent[] = [];
  let changed = Promise.withResolvers<void>();
  const ring = () => {
    changed.resolve();
    changed = Promise.withResolvers();
  };
  const ended = followCollection({
    api: new ApiConnection(kubeConfigAccess(kubeConfig), idleMs),
    collection: { groupVersion: '/api/v1', plural: 'pods', namespace: 'ml', fieldSelector: 'a=b' },
    replica,
    optional,
    signal: abort.signal,
    onChange: ring,
    onEvent: event => {
      events.push(event);
      ring();
    },
  });
  t.after(async () => {
    abort.abort();
    await ended;
    server.closeAllConnections();
    server.close();
  });
  const names = () => [...replica.values.keys()].map(key => key.replace('ml/', '')).join(' ');
  const until = async (expected: string) => {
    while (names() !== expected) await changed.promise;
  };
  const untilSynced = async () => {
    while (!replica.synced) await changed.promise;
  };
  return { requests, replica, events, until, untilSynced };
}

const kinds = (requests: readonly URLSearchParams[]) =>
  requests.map(query => {
    if (query.has('sendInitialEvents')) return 'stream';
    if (query.has('watch')) return `watch ${query.get('resourceVersion')}`;
    return `list ${query.get('limit') ?? 'whole'}${query.has('continue') ? ` after ${query.get('continue')}` : ''}`;
  });

suite('a list-watch', { timeout }, () => {
  test('of a collection that may not be known has nothing in it until it is, and says so once', async t => {
    const listed = open(line('ADDED', object('a', 1)), listedAt(5));
    const replies = [status(404), status(404), status(404), listed];
    const { until, untilSynced, events, replica } = await following(t, replies, { optional: true });
    await untilSynced();
    assert.equal(replica.values.size, 0);
    await until('a');
    assert.deepEqual(events, [
      { event: 'source.not_installed', collection: '/api/v1/namespaces/ml/pods', reason: 'told 404' },
      { event: 'source.listed', collection: '/api/v1/namespaces/ml/pods', list: 'streamed', objects: 1 },
    ]);
  });

  test('of a collection that may not be known keeps what it knew when that is gone', async t => {
    const a = line('ADDED', object('a', 1));
    const { until, events, replica } = await following(
      t,
      [ends(a, listedAt(5)), status(404), status(403), open(line('ADDED', object('b', 6)))],
      { optional: true },
    );
    await until('a b');
    assert.ok(replica.synced);
    assert.deepEqual(
      events.map(({ event }) => event),
      ['source.listed', 'source.not_installed', 'source.interrupted'],
    );
  });

  test('streams its list where the server can, and goes on in the same watch', async t => {
    const a = line('ADDED', object('a', 1));
    const { until, requests, events } = await following(t, [open(a, listedAt(5), line('ADDED', object('b', 6)))]);
    await until('a b');
    assert.deepEqual(events, [
      { event: 'source.listed', collection: '/api/v1/namespaces/ml/pods', list: 'streamed', objects: 1 },
    ]);
    assert.equal(requests.length, 1);
    const { timeoutSeconds, ...query } = Object.fromEntries(requests[0] ?? []);
    assert.deepEqual(query, {
      watch: 'true',
      allowWatchBookmarks: 'true',
      sendInitialEvents: 'true',
      resourceVersionMatch: 'NotOlderThan',
      fieldSelector: 'a=b',
    });
    assert.ok(Number(timeoutSeconds) < 10, 'a live server ends it before it would seem dead');
  });

  const REFUSALS: readonly [what: string, reply: Reply][] = [
    ['a server that forbids the option', status(422)],
    ['a server that does not know it', status(400)],
    ['an etcd that cannot', ends(line('ERROR', { code: 500, message: 'etcd' }))],
    ['a server that ignores the option', ends(line('ADDED', object('x', 1)))],
  ];
  for (const [what, refusal] of REFUSALS) {
    test(`lists in pages instead, and only asks once: ${what}`, async t => {
      const replies = [
        refusal,
        page('t', 5, 'a'),
        page('', 5, 'b'),
        ends(line('ERROR', { code: 410, message: 'old' })),
        page('', 9, 'c'),
        open(),
      ];
      const { until, requests } = await following(t, replies);
      await until('a b');
      await until('c');
      assert.deepEqual(kinds(requests).slice(0, 5), ['stream', 'list 500', 'list 500 after t', 'watch 5', 'list 500']);
    });
  }

  test('lists in one piece when its pages expire', async t => {
    const replies = [status(422), page('t', 5, 'a'), status(410), page('', 6, 'b'), open()];
    const { until, requests } = await following(t, replies);
    await until('b');
    assert.deepEqual(kinds(requests).slice(0, 4), ['stream', 'list 500', 'list 500 after t', 'list whole']);
  });

  test('goes on after the last thing it was told when a watch ends, is cut or fails', async t => {
    const replies = [
      ends(listedAt(5), line('ADDED', object('a', 6))),
      ends(bookmark(8)),
      cut,
      status(500),
      open(line('DELETED', object('a', 9)), line('ADDED', object('b', 10))),
    ];
    const { until, requests, events } = await following(t, replies);
    await until('b');
    assert.deepEqual(kinds(requests), ['stream', 'watch 6', 'watch 8', 'watch 8', 'watch 8']);
    assert.deepEqual(
      events.map(event => event.event === 'source.interrupted' && event.relist),
      [false, false, false],
    );
  });

  test('lists anew when its version is too old, and knows what it knew until then', async t => {
    const replies = [
      ends(line('ADDED', object('a', 1)), listedAt(5)),
      status(410),
      open(line('ADDED', object('c', 7)), listedAt(8)),
    ];
    const { until, requests, events } = await following(t, replies);
    await until('a');
    await until('c');
    assert.deepEqual(kinds(requests), ['stream', 'watch 5', 'stream']);
    assert.ok(
      events.some(event => event.event === 'source.interrupted' && event.relist && event.reason === 'told 410'),
    );
  });

  test('lists anew when an event cannot be read', async t => {
    const replies = [ends(listedAt(5)), ends('{"type":\n'), open(line('ADDED', object('a', 7)), listedAt(8))];
    const { until, requests } = await following(t, replies);
    await until('a');
    assert.deepEqual(kinds(requests), ['stream', 'watch 5', 'stream']);
  });

  test('gives a silent connection up, before and after its first byte', async t => {
    const replies = [nothing, open(listedAt(5)), open(line('ADDED', object('a', 7)))];
    const { until, requests, events } = await following(t, replies, { idleMs: 100 });
    await until('a');
    assert.deepEqual(kinds(requests).slice(0, 3), ['stream', 'stream', 'watch 5']);
    const reasons = events.flatMap(event => (event.event === 'source.interrupted' ? event.reason : []));
    assert.deepEqual(reasons.slice(0, 2), ['silent for 0.1 s', 'silent for 0.1 s']);
  });

  test('stays away for as long as the server asks', async t => {
    const replies = [status(429, { 'retry-after': '1' }), open(line('ADDED', object('a', 1)), listedAt(5))];
    const { until, events } = await following(t, replies);
    await until('a');
    assert.deepEqual(events[0], {
      event: 'source.interrupted',
      collection: '/api/v1/namespaces/ml/pods',
      reason: 'told 429',
      code: 429,
      retryInMs: 1_000,
      relist: false,
    });
  });
});
