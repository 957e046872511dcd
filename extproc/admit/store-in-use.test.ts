import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { LimitStoreSettings, ValkeySettings } from '../../agent/table/limit-store-settings.ts';
import { OnStoreFailure } from '../../proto/gen/fairlead/v1/table_pb.js';
import { until } from '../../test/e2e/harness/until.ts';
import { ValkeyServer, type ValkeyServerOptions } from '../../test/store/valkey-server.ts';
import type { Charge, Window } from './limit-store.ts';
import { minute } from './store-bench.fixture.ts';
import { StoreInUse } from './store-in-use.ts';

const month: Window = { kind: 'calendar', startMs: 0, endMs: 4e12 };
const charge = (key: string, window: Window): Charge => ({
  counter: { key, limit: 100, window, shadow: false },
  amount: 1,
});
const spent = [charge('budget', month), charge('minute', minute)];

/** One that wants a Secret, as long as nothing else is said. */
function open(t: TestContext) {
  const store = new StoreInUse({ epochMs: Date.now, nowMs: () => performance.now(), onChange: () => {} });
  t.after(() => store.close());
  const follow = (valkey: LimitStoreSettings['valkey']) =>
    store.follow({ valkey, onFailure: OnStoreFailure.ALLOW, timeoutMs: 10_000 });
  follow({ missing: 'Secret ml/valkey is missing' });
  return { store, follow };
}

async function startServer(t: TestContext, options: ValkeyServerOptions = {}): Promise<ValkeyServer> {
  const server = await ValkeyServer.start(options);
  t.after(() => server.stop());
  return server;
}

const settings = ({ url }: ValkeyServer): ValkeySettings => {
  return { url, username: '', password: undefined, ca: undefined, cluster: false };
};

test('what is spent for want of a Secret is known to the store that it leads to', async t => {
  const server = await startServer(t);
  const { store, follow } = open(t);
  const first = store.current;
  for (const id of ['a', 'b', 'c']) await first.reserve(id, spent);
  first.settle('a', spent, [5, 5]);
  follow({ missing: 'Secret ml/valkey has no key "password"' });
  store.current.add(spent);
  first.settle('b', spent, [20, 20]);
  follow(settings(server));
  first.settle('c', spent, [300, 300]);
  let used: number | undefined;
  const isKnown = async () => {
    used = (await store.current.read(spent.map(({ counter }) => counter)))[0]?.used;
    return used === 326;
  };
  await until('all that is spent', isKnown).catch(() => assert.equal(used, 326));
  // What slides is over before long: it is not told as if it were of now.
  assert.equal(store.counts.dropped, 3);
});

test('what is spent for want of a Secret and is told to nobody counts as dropped', async t => {
  const { store, follow } = open(t);
  await store.current.reserve('a', spent);
  store.current.settle('a', spent, [5, 5]);
  assert.equal(store.counts.dropped, 1);
  follow(undefined);
  assert.equal(store.counts.dropped, 2);
});

test('what is spent while a store cannot be reached is known to the one that takes its place', async t => {
  const server = await startServer(t, { password: 'right' });
  const { store, follow } = open(t);
  follow({ ...settings(server), password: 'wrong' });
  const first = store.current;
  for (const id of ['a', 'b']) await first.reserve(id, spent);
  first.settle('a', spent, [5, 5]);
  store.current.add(spent);
  follow({ missing: 'Secret ml/valkey is missing' });
  store.current.add(spent);
  follow({ ...settings(server), password: 'right' });
  first.settle('b', spent, [300, 300]);
  let used: number | undefined;
  const isKnown = async () => {
    used = (await store.current.read(spent.map(({ counter }) => counter)))[0]?.used;
    return used === 307;
  };
  await until('all that is spent', isKnown).catch(() => assert.equal(used, 307));
  // What slides and was added for want of a Secret, and what was before.
  assert.equal(store.counts.dropped, 3);
});

test('a store that is not in use any more is told what is left to tell when all ends', async t => {
  const [before, after] = await Promise.all([startServer(t), startServer(t)]);
  const { store, follow } = open(t);
  follow(settings(before));
  const first = store.current;
  assert.equal((await first.reserve('a', spent)).admitted, true);
  follow(settings(after));
  first.settle('a', spent, [5, 5]);
  await store.close();
  const client = before.client();
  t.after(() => client.disconnect());
  assert.equal(await client.get('fairlead:{limits}:count:budget'), '5');
  assert.equal(store.counts.dropped, 0);
});

test('what a store that is not in use any more was never told counts as dropped', async t => {
  const [before, after] = await Promise.all([startServer(t), startServer(t)]);
  const { store, follow } = open(t);
  follow(settings(before));
  const first = store.current;
  for (const id of ['a', 'b', 'c']) assert.equal((await first.reserve(id, spent)).admitted, true);
  follow(settings(after));
  await before.kill();
  for (const id of ['a', 'b']) first.settle(id, spent, [5, 5]);
  await store.close();
  assert.equal(store.counts.dropped, 2);
  first.settle('c', spent, [5, 5]);
  assert.equal(store.counts.dropped, 3);
});
