import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { Authority } from '../../test/e2e/harness/certificates.ts';
import { until } from '../../test/e2e/harness/until.ts';
import { TcpProxy } from '../../test/kube/tcp-proxy.ts';
import { ValkeyServer, type ValkeyServerOptions } from '../../test/store/valkey-server.ts';
import { GuardedStore, type OnStoreFailure } from './guarded-store.ts';
import type { Charge, LimitStore, Verdict, Window } from './limit-store.ts';
import { MemoryStore } from './memory-store.ts';
import { type ValkeyAddress, ValkeyConnection } from './valkey-connection.ts';
import { ValkeyStore } from './valkey-store.ts';

const hour: Window = { kind: 'sliding', periodMs: 3_600_000 };
const held: Window = { kind: 'held' };
const budget: Window = { kind: 'calendar', startMs: 0, endMs: 4e12 };

interface Opened {
  readonly guarded: GuardedStore;
  readonly shared: ValkeyStore;
  readonly local: MemoryStore;
  readonly server: ValkeyServer;
  /** What became of the shared store: a text when it failed, "back" when it was. */
  readonly changes: string[];
}

const closing: (() => unknown)[] = [];
after(async () => {
  for (const close of closing.reverse()) await close();
});

async function startServer(options: ValkeyServerOptions = {}): Promise<ValkeyServer> {
  const server = await ValkeyServer.start(options);
  closing.push(() => server.stop());
  return server;
}

/** Of an agent that shares the limits with one other. Timeouts are long where no test is about slowness. */
function openAgent(
  server: ValkeyServer,
  onFailure: OnStoreFailure,
  { address = {}, timeoutMs = 10_000 }: { address?: Partial<ValkeyAddress>; timeoutMs?: number } = {},
): Opened {
  const shared = new ValkeyStore({ connection: new ValkeyConnection({ url: server.url, ...address }) });
  const local = new MemoryStore({ nowMs: Date.now, agents: () => 2 });
  const changes: string[] = [];
  const onChange = (failure: string | undefined) => changes.push(failure ?? 'back');
  const guarded = new GuardedStore({ shared, local, onFailure, timeoutMs, onChange });
  closing.push(() => {
    guarded.close();
    return shared.close();
  });
  return { guarded, shared, local, server, changes };
}

let named = 0;
const name = () => `n${++named}`;
const charge = (limit: number, amount: number, window: Window = hour): Charge => ({
  counter: { key: name(), limit, window, shadow: false },
  amount,
});

/** Resolves when the shared store is asked again, or for the first time. */
async function inUse({ guarded, shared }: Opened): Promise<void> {
  const probed = () =>
    shared.probe().then(
      () => true,
      () => false,
    );
  await until('the shared store', async () => guarded.failure === undefined && (await probed()));
}

async function open(
  onFailure: OnStoreFailure = 'local',
  options: ValkeyServerOptions = {},
  timeoutMs?: number,
): Promise<Opened> {
  const server = await startServer(options);
  const opened = openAgent(server, onFailure, timeoutMs === undefined ? {} : { timeoutMs });
  await inUse(opened);
  return opened;
}

/** Long enough for a test to act between what the server does and its answer. */
const ANSWER_LATE_MS = 1_000;

async function openThroughProxy(server: ValkeyServer): Promise<[Opened, TcpProxy]> {
  const proxy = await TcpProxy.start(server.port);
  closing.push(() => proxy.stop());
  const opened = openAgent(server, 'local', { address: { url: `valkey://127.0.0.1:${proxy.port}` } });
  await inUse(opened);
  return [opened, proxy];
}

async function used(store: LimitStore, { counter }: Charge): Promise<number | undefined> {
  return (await store.read([counter]))[0]?.used;
}

function usedShared({ shared }: Opened, charge: Charge): Promise<number | undefined> {
  return used(shared, charge);
}

/** Asks until the failure is seen, and returns the verdict that was made without the store. */
async function decidedAlone({ guarded }: Opened, charges: readonly Charge[]): Promise<[string, Verdict]> {
  const id = name();
  const verdict = await guarded.reserve(id, charges);
  assert.ok(guarded.failure !== undefined, 'the shared store answered');
  return [id, verdict];
}

async function tellAll(opened: Opened): Promise<void> {
  await until('the settlements', () => opened.shared.flush());
}

describe('guarded store', () => {
  it('decides by its share while the server is away, and comes back by itself', async () => {
    const opened = await open('local', { persistent: true });
    const { guarded, server, changes } = opened;
    const tokens = charge(10, 4);
    const before = name();
    assert.equal((await guarded.reserve(before, [tokens])).admitted, true);
    await server.kill();

    const [alone, verdict] = await decidedAlone(opened, [tokens]);
    assert.equal(verdict.isAlone, true);
    assert.deepEqual(
      verdict.states.map(({ used, limit }) => [used, limit]),
      [[4, 5]],
    );
    const next = guarded.reserve(name(), [tokens]);
    assert.ok(!(next instanceof Promise), 'nobody waits for a store that is away');
    assert.equal(next.admitted, false);
    guarded.settle(before, [tokens], [3]);
    guarded.settle(alone, [tokens], [2]);
    guarded.settle(alone, [tokens], [2]);

    await server.restart();
    await inUse(opened);
    await tellAll(opened);
    assert.equal(await usedShared(opened, tokens), 5);
    assert.equal((await guarded.reserve(name(), [tokens])).admitted, true);
    assert.equal(changes.length, 2);
    assert.match(changes[0] ?? '', /closed|ECONN/);
    assert.deepEqual(guarded.counts, { failures: 1, withoutStore: 2, undone: 0 });
  });

  it('charges what was used when the server comes back empty', async () => {
    const opened = await open();
    const { guarded, server } = opened;
    const tokens = charge(100, 40);
    const id = name();
    await guarded.reserve(id, [tokens]);
    await server.kill();
    await server.restart();
    guarded.settle(id, [tokens], [30]);
    await tellAll(opened);
    assert.equal(await usedShared(opened, tokens), 30);
  });

  it('charges a batch once that was carried out, though its answer was lost', async () => {
    const server = await startServer();
    const [opened, proxy] = await openThroughProxy(server);
    const direct = openAgent(server, 'local');
    await inUse(direct);
    const tokens = charge(100, 40);
    proxy.slow(ANSWER_LATE_MS);
    opened.guarded.add([tokens]);
    await until('the charge', async () => (await usedShared(direct, tokens)) === 40);
    proxy.cut();
    proxy.slow(0);
    await tellAll(opened);
    assert.equal(await usedShared(direct, tokens), 40);
  });

  it('takes back what was reserved, though its answer was lost', async () => {
    const server = await startServer();
    const [opened, proxy] = await openThroughProxy(server);
    const direct = openAgent(server, 'local');
    await inUse(direct);
    const tokens = charge(100, 40);
    proxy.slow(ANSWER_LATE_MS);
    const deciding = decidedAlone(opened, [tokens]);
    await until('the reservation', async () => (await usedShared(direct, tokens)) === 40);
    proxy.cut();
    proxy.slow(0);
    const [, verdict] = await deciding;
    assert.deepEqual(
      verdict.states.map(({ used, limit }) => [used, limit]),
      [[40, 50]],
    );
    await tellAll(opened);
    assert.equal(await usedShared(direct, tokens), 0);
  });

  it('denies all while the server is away, where it is to', async () => {
    const opened = await open('deny');
    await opened.server.kill();
    const tokens = charge(10, 4);
    const [, verdict] = await decidedAlone(opened, [tokens]);
    assert.ok(!verdict.admitted && verdict.unavailable);
    assert.deepEqual([verdict.refusedBy, verdict.states], [[], []]);
    assert.ok((verdict.retryAfterMs ?? 0) > 0);
    await opened.server.restart();
    await inUse(opened);
    assert.equal((await opened.guarded.reserve(name(), [tokens])).admitted, true);
  });

  it('allows all while the server is away, where it is to, and adds it later', async () => {
    const opened = await open('allow');
    const { guarded, server } = opened;
    await server.kill();
    const charges = [charge(1, 4), charge(1, 9, budget), charge(1, 2, held)];
    const [id, verdict] = await decidedAlone(opened, charges);
    assert.deepEqual(verdict, { admitted: true, states: [] });
    guarded.release(id, charges);
    guarded.settle(id, charges, [6, 8, 2]);
    await server.restart();
    await inUse(opened);
    await tellAll(opened);
    const used = await Promise.all(charges.map(each => usedShared(opened, each)));
    assert.deepEqual(used, [6, 8, 0]);
  });

  it('knows all that was spent, however much that was while the server was away', async () => {
    const opened = await open('allow');
    const { guarded, server, shared } = opened;
    await server.kill();
    const charges = [charge(1, 4), charge(1, 9, budget)];
    const ids = Array.from({ length: 12_000 }, name);
    for (const id of ids) await guarded.reserve(id, charges);
    for (const id of ids) guarded.settle(id, charges, [3, 5]);
    await server.restart();
    await inUse(opened);
    await tellAll(opened);
    const used = await Promise.all(charges.map(each => usedShared(opened, each)));
    assert.deepEqual([used, shared.dropped], [[36_000, 60_000], 0]);
  });

  it('waits for a server that stands still no longer than the timeout, and takes back what it reserves late', async () => {
    const opened = await open('local', {}, 200);
    const { guarded, server } = opened;
    const [tokens, slot] = [charge(100, 40), charge(4, 1, held)];
    server.pause();
    const asked = Array.from({ length: 3 }, () => decidedAlone(opened, [tokens, slot]));
    const verdicts = await Promise.all(asked);
    assert.deepEqual(
      verdicts.map(([, { admitted }]) => admitted),
      [true, false, false],
    );
    assert.equal(guarded.failure, 'no answer within 200 ms');
    assert.ok(!(guarded.reserve(name(), [tokens]) instanceof Promise));
    server.resume();
    await until('the undoing', () => guarded.counts.undone === 2);
    await inUse(opened);
    await tellAll(opened);
    assert.equal(await usedShared(opened, tokens), 0);
    assert.equal(await usedShared(opened, slot), 0);
    const [alone] = verdicts[0] ?? [''];
    guarded.settle(alone, [tokens, slot], [40, 1]);
    await tellAll(opened);
    assert.equal(await usedShared(opened, tokens), 40);
  });

  it('goes on by its share when the server is full, and comes back when it is not', async () => {
    const opened = await open();
    const { guarded, server } = opened;
    const tokens = charge(10, 1);
    const id = name();
    await guarded.reserve(id, [tokens]);
    const client = server.client();
    await client.config('SET', 'maxmemory', '1');
    const [, verdict] = await decidedAlone(opened, [tokens]);
    assert.equal(verdict.admitted, true);
    assert.match(guarded.failure ?? '', /memory is full/);
    guarded.settle(id, [tokens], [2]);
    await tellAll(opened);
    await client.config('SET', 'maxmemory', '0');
    client.disconnect();
    await inUse(opened);
    assert.equal(await usedShared(opened, tokens), 2);
  });

  it('does not write to a replica, and says so', async () => {
    const opened = await open();
    const client = opened.server.client();
    await client.call('REPLICAOF', '127.0.0.1', '1');
    await decidedAlone(opened, [charge(10, 1)]);
    assert.match(opened.guarded.failure ?? '', /READONLY|replica/);
    await client.call('REPLICAOF', 'NO', 'ONE');
    client.disconnect();
    await inUse(opened);
  });

  it('says that the password is wrong, and goes on when it is right', async () => {
    const server = await startServer({ password: 'right' });
    const opened = openAgent(server, 'local', { address: { password: 'wrong' } });
    await until('the refusal', async () => {
      await opened.guarded.reserve(name(), [charge(10, 1)]);
      return opened.guarded.failure?.includes('the server refuses the user name or the password');
    });
    const client = server.client();
    await client.config('SET', 'requirepass', 'wrong');
    client.disconnect();
    await inUse(opened);
  });

  it('says that a password is wanted', async () => {
    const server = await startServer({ password: 'right' });
    const opened = openAgent(server, 'deny');
    await until('the refusal', async () => {
      await opened.guarded.reserve(name(), []);
      return /refuses the user name or the password \(NOAUTH/.test(opened.guarded.failure ?? '');
    });
  });

  it('needs few rights, and says which one is missing', async () => {
    const server = await startServer();
    const client = server.client();
    const rights = ['eval', 'evalsha', 'info', 'time', 'get', 'mget', 'set', 'incrby', 'decrby', 'del', 'pexpire'];
    rights.push('hget', 'hmget', 'hgetall', 'hset', 'hdel', 'hincrby', 'zadd', 'zrem', 'zscore', 'zrangebyscore');
    const user = ['SETUSER', 'limits', 'on', '>secret', '~fairlead:{limits}:*', ...rights.map(right => `+${right}`)];
    await client.call('ACL', ...user);
    const opened = openAgent(server, 'local', { address: { username: 'limits', password: 'secret' } });
    const { guarded, shared } = opened;
    await inUse(opened);
    for (const amount of [0, 3, 20]) {
      const charges: Charge[] = [charge(10, 4), charge(10, 4, budget), charge(10, 4, held)];
      const id = name();
      assert.equal((await guarded.reserve(id, charges)).admitted, true);
      await shared.renew();
      guarded.release(id, charges);
      guarded.settle(id, charges, [amount, amount, amount]);
      await tellAll(opened);
      assert.equal(await usedShared(opened, charges[1] as Charge), amount);
    }
    await client.call('ACL', 'SETUSER', 'limits', '-zadd');
    client.disconnect();
    await decidedAlone(opened, [charge(10, 1)]);
    assert.match(guarded.failure ?? '', /may not do what is needed/);
  });

  it('speaks TLS, and only to whom the authority vouches for', async () => {
    const authority = new Authority();
    const stranger = new Authority();
    closing.push(() => authority.remove());
    closing.push(() => stranger.remove());
    const server = await startServer({ tls: authority.issue(), password: 'right' });
    const url = server.url.replace('127.0.0.1', 'localhost');
    for (const name of [url, server.url]) {
      const address = { url: name, username: 'default', password: 'right', ca: authority.certificate };
      await inUse(openAgent(server, 'local', { address }));
    }
    const opened = openAgent(server, 'local', { address: { url, password: 'right', ca: stranger.certificate } });
    await until('the refusal', async () => {
      await opened.guarded.reserve(name(), []);
      return /certificate|verify/.test(opened.guarded.failure ?? '');
    });
  });

  it('keeps to one slot of a cluster, and finds it again', async () => {
    const server = await startServer({ cluster: true });
    const opened = openAgent(server, 'local', { address: { cluster: true } });
    const { guarded } = opened;
    await inUse(opened);
    const charges = [charge(10, 4), charge(10, 4, budget), charge(10, 4, held)];
    const id = name();
    assert.equal((await guarded.reserve(id, charges)).admitted, true);
    guarded.settle(id, charges, [1, 1, 1]);
    await tellAll(opened);
    assert.equal(await usedShared(opened, charges[1] as Charge), 1);
    await server.kill();
    await decidedAlone(opened, charges);
    await server.restart();
    await inUse(opened);
    assert.equal((await guarded.reserve(name(), charges)).admitted, true);
  });

  it('reads its own count once the server is known to be away', async () => {
    const opened = await open();
    const { guarded, server } = opened;
    const tokens = charge(10, 4);
    await guarded.reserve(name(), [tokens]);
    assert.deepEqual(
      (await guarded.read([tokens.counter])).map(({ used, limit }) => [used, limit]),
      [[4, 10]],
    );
    await server.kill();
    await decidedAlone(opened, [tokens]);
    assert.deepEqual(
      (await guarded.read([tokens.counter])).map(({ used, limit }) => [used, limit]),
      [[4, 5]],
    );
  });

  it('reads nothing while the server is away where it counts nothing itself', async () => {
    for (const policy of ['allow', 'deny'] as const) {
      const opened = await open(policy);
      const tokens = charge(10, 4);
      await opened.server.kill();
      await decidedAlone(opened, [tokens]);
      await assert.rejects(async () => opened.guarded.read([tokens.counter]), /closed|ECONN/);
    }
  });

  it('lets those wait who read at once', async () => {
    const { guarded } = await open();
    const tokens = charge(10, 4);
    await guarded.reserve(name(), [tokens]);
    const reads = await Promise.all(Array.from({ length: 100 }, () => used(guarded, tokens)));
    assert.deepEqual(
      reads,
      reads.map(() => 4),
    );
  });

  it('gives up nothing for everybody where a read fails or is late', async () => {
    const opened = await open('deny');
    const { guarded, server, changes } = opened;
    const tokens = charge(100, 4);
    server.pause();
    const reads = Array.from({ length: 104 }, async () => guarded.read([tokens.counter]));
    const late = reads.map(read => assert.rejects(read, /no answer within 1000 ms/));
    await assert.rejects(async () => guarded.read([tokens.counter]), /others are being read/);
    await Promise.all(late);
    assert.equal(guarded.failure, undefined);
    server.resume();
    assert.equal((await guarded.reserve(name(), [tokens])).admitted, true);
    await until('a free place', () => used(guarded, tokens).catch(() => undefined));
    await server.kill();
    await assert.rejects(async () => guarded.read([tokens.counter]), /closed|ECONN/);
    assert.deepEqual([guarded.failure, changes], [undefined, []]);
  });
});
