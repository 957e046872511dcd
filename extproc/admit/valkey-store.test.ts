import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { isRefusal } from '../../errors/refusal.ts';
import { freePorts } from '../../test/e2e/harness/free-ports.ts';
import { until } from '../../test/e2e/harness/until.ts';
import { ValkeyServer } from '../../test/store/valkey-server.ts';
import { Admission } from './admission.ts';
import { limitStoreSuite } from './limit-store.suite.ts';
import type { Charge, Counter, Window } from './limit-store.ts';
import { consumer, limit, request } from './sample-request.fixture.ts';
import { minute } from './store-bench.fixture.ts';
import { ValkeyConnection } from './valkey-connection.ts';
import { LEASE_MS, ValkeyStore } from './valkey-store.ts';

const startMs = 1_790_000_000_000;
const held: Window = { kind: 'held' };

/** One that can be asked. */
async function openStore(server: ValkeyServer, nowMs?: () => number): Promise<ValkeyStore> {
  const connection = new ValkeyConnection({ url: server.url });
  const store = new ValkeyStore(nowMs === undefined ? { connection } : { connection, nowMs });
  await until('the store', () => answers(store));
  return store;
}

function answers(store: ValkeyStore): Promise<boolean> {
  return store.probe().then(
    () => true,
    () => false,
  );
}

limitStoreSuite(
  'valkey',
  async () => {
    const server = await ValkeyServer.start();
    const clock = { nowMs: startMs };
    const store = await openStore(server, () => clock.nowMs);
    return {
      store,
      nowMs: () => clock.nowMs,
      advance: async ms => {
        clock.nowMs += ms;
        await store.renew();
      },
      flushed: async () => {
        await store.flush();
      },
      close: async () => {
        await store.close();
        server.stop();
      },
    };
  },
  { runs: 50 },
);

describe('valkey store', () => {
  let server: ValkeyServer;
  const opened: ValkeyStore[] = [];
  const clock = { nowMs: startMs };
  let named = 0;
  const name = () => `own${++named}`;
  const charge = (limit: number, amount: number, window: Window = minute): Charge => ({
    counter: { key: name(), limit, window, shadow: false },
    amount,
  });

  before(async () => {
    server = await ValkeyServer.start();
  });
  after(async () => {
    await Promise.all(opened.map(store => store.close()));
    server.stop();
  });

  /** In the time of these tests. */
  async function open(): Promise<ValkeyStore> {
    const store = await openStore(server, () => clock.nowMs);
    opened.push(store);
    return store;
  }

  async function used(store: ValkeyStore, { counter }: Charge): Promise<number | undefined> {
    return (await store.read([counter]))[0]?.used;
  }

  it('lets two agents reserve all of a limit and never more, again after the period', async () => {
    const stores = [await open(), await open()];
    const [requests, tokens] = [charge(100, 1), charge(9_990, 111)];
    for (let period = 0; period < 2; period++) {
      const clients = Array.from({ length: 100 }, async (_, client) => {
        let admitted = 0;
        for (let request = 0; request < 3; request++) {
          const verdict = await stores[client % 2]?.reserve(name(), [requests, tokens]);
          if (verdict?.admitted) admitted++;
        }
        return admitted;
      });
      const admitted = (await Promise.all(clients)).reduce((sum, each) => sum + each, 0);
      assert.equal(admitted, 90);
      clock.nowMs += 61_000;
    }
  });

  it('gives back what was reserved when its holder is gone, at the end of the lease', async () => {
    const holder = await open();
    const other = await open();
    const slot = charge(1, 1, held);
    const tokens = charge(10, 10, { kind: 'sliding', periodMs: 3_600_000 });
    assert.equal((await holder.reserve(name(), [slot, tokens])).admitted, true);
    await holder.close();
    clock.nowMs += LEASE_MS - 1;
    assert.equal((await other.reserve(name(), [slot])).admitted, false);
    assert.equal((await other.reserve(name(), [tokens])).admitted, false);
    clock.nowMs += 1;
    assert.equal((await other.reserve(name(), [slot, tokens])).admitted, true);
  });

  it('keeps what is renewed', async () => {
    const store = await open();
    const other = await open();
    const slot = charge(1, 1, held);
    await store.reserve(name(), [slot]);
    for (let renewals = 0; renewals < 5; renewals++) {
      clock.nowMs += LEASE_MS - 1;
      await store.renew();
      assert.equal(await used(other, slot), 1);
    }
  });

  it('holds again what goes on, where it was given back or forgotten, and then gives it back once', async () => {
    const store = await open();
    const other = await open();
    const client = server.client();
    const lose = [
      () => client.flushall(),
      () => {
        clock.nowMs += LEASE_MS;
      },
    ];
    for (const loseIt of lose) {
      const slot = charge(2, 1, held);
      const tokens = charge(100, 10);
      const [running, released] = [name(), name()];
      for (const id of [running, released]) await store.reserve(id, [slot, tokens]);
      store.release(released);
      await store.flush();
      await loseIt();
      assert.equal(await used(other, slot), 0);
      await store.renew();
      await store.renew();
      assert.equal(await used(other, slot), 1);
      for (const id of [running, released]) store.settle(id, [slot, tokens], [1, 4]);
      await store.flush();
      assert.equal(await used(other, slot), 0);
      assert.equal(await used(other, tokens), 8);
    }
    client.disconnect();
  });

  it('charges the real amount once when it is settled after its lease', async () => {
    const store = await open();
    const other = await open();
    const tokens = charge(100, 10);
    const id = name();
    await store.reserve(id, [tokens]);
    clock.nowMs += LEASE_MS;
    assert.equal(await used(other, tokens), 0);
    store.settle(id, [tokens], [7]);
    store.settle(id, [tokens], [7]);
    await store.flush();
    assert.equal(await used(other, tokens), 7);
  });

  it('charges the real amount where the server has forgotten the reservation', async () => {
    const store = await open();
    const tokens = charge(100, 10);
    const id = name();
    await store.reserve(id, [tokens]);
    const client = server.client();
    await client.flushall();
    client.disconnect();
    store.settle(id, [tokens], [7]);
    await store.flush();
    assert.equal(await used(store, tokens), 7);
  });

  it('finds its scripts gone and loads them', async () => {
    const store = await open();
    const tokens = charge(100, 10);
    const client = server.client();
    await client.script('FLUSH');
    client.disconnect();
    assert.equal((await store.reserve(name(), [tokens])).admitted, true);
  });

  it('settles before anybody asked again, where somebody waits for a slot', async () => {
    const store = await open();
    const slot = charge(1, 1, held);
    for (let turn = 0; turn < 3; turn++) {
      const id = name();
      await until('the slot', async () => (await store.reserve(id, [slot])).admitted);
      store.settle(id, [slot], [0]);
    }
  });

  it('counts what is told late where it was used', async () => {
    const store = await open();
    const other = await open();
    const tokens = charge(100, 10);
    clock.nowMs += 1_000 - (clock.nowMs % 1_000);
    other.add([{ ...tokens, amount: 90 }]);
    await other.flush();
    clock.nowMs += 20_000;
    store.add([tokens]);
    clock.nowMs += 30_000;
    await store.flush();
    const [state] = await other.read([tokens.counter]);
    assert.deepEqual(state, { used: 100, limit: 100, resetMs: 31_000 });
    store.add([tokens]);
    clock.nowMs += 120_000;
    await store.flush();
    assert.equal(await used(other, tokens), 0);
  });

  it('tells what it has to tell before it closes', async () => {
    const store = await open();
    const tokens = charge(100, 10);
    store.add([tokens]);
    await store.close();
    assert.equal(await used(await open(), tokens), 10);
  });

  it('frees nothing early, and nothing later, for a clock that was set back', async () => {
    const store = await open();
    const tokens = charge(10, 5);
    clock.nowMs += 1_000 - (clock.nowMs % 1_000);
    const takenMs = clock.nowMs;
    store.add([tokens]);
    await store.flush();
    clock.nowMs -= 90_000;
    assert.equal((await store.reserve(name(), [tokens])).admitted, true);
    assert.equal((await store.reserve(name(), [tokens])).admitted, false);
    await store.renew();
    clock.nowMs = takenMs + 60_999;
    await store.renew();
    assert.equal(await used(store, tokens), 10);
    clock.nowMs += 1;
    assert.equal(await used(store, tokens), 0);
  });

  it('counts by any text', async () => {
    const store = await open();
    const odd = charge(1, 1);
    for (const key of ['\ud800', '\0', '"\\', '💶']) {
      const { counter } = odd;
      const charges = [{ ...odd, counter: { ...counter, key: `${name()}${key}` } }];
      const id = name();
      assert.equal((await store.reserve(id, charges)).admitted, true);
      assert.equal((await store.reserve(name(), charges)).admitted, false);
      store.settle(id, charges, [0]);
      await store.flush();
      assert.equal((await store.reserve(name(), charges)).admitted, true);
    }
  });

  it('leaves no key behind that does not expire', async () => {
    const store = await open();
    const windows: Window[] = [
      minute,
      { kind: 'sliding', periodMs: 2_592_000_000 },
      { kind: 'calendar', startMs: clock.nowMs, endMs: clock.nowMs + 86_400_000 },
      held,
    ];
    const charges = windows.map(window => charge(100, 10, window));
    for (const amount of [0, 5, 20]) {
      const id = name();
      await store.reserve(id, charges);
      await store.reserve(name(), charges);
      store.settle(
        id,
        charges,
        charges.map(() => amount),
      );
      store.add(charges);
      await store.flush();
    }
    const client = server.client();
    const keys = await client.keys('*');
    const eternal: string[] = [];
    for (const key of keys) if ((await client.pttl(key)) < 0) eternal.push(key);
    client.disconnect();
    assert.ok(keys.length > charges.length);
    assert.deepEqual(eternal, []);
  });

  it('admits a thousand who ask for more tokens than there are, where a shadow limit counts them', async () => {
    const store = await open();
    const { ifError: failed } = assert;
    const admission = new Admission({ store: () => store, nowMs: () => clock.nowMs, nextId: name, failed });
    const caller = consumer('greedy', { limits: [limit('tokens', 5, { shadow: true }), limit('requests', 2_000)] });
    const made = request({ caller });
    const facts = { ...made.facts, maxOutputTokens: Number.MAX_SAFE_INTEGER };
    const grants = [];
    for (let i = 0; i < 1_100; i++) grants.push(await admission.admit({ ...made, facts }));
    const states = grants.map(grant => (isRefusal(grant) ? grant.message : grant.states.map(({ used }) => used)));
    assert.deepEqual(
      states,
      grants.map((_, i) => [(i + 1) * (1e9 + 100), i + 1]),
    );
    const [first] = grants;
    assert.ok(first !== undefined && !isRefusal(first));
    const most = Number.MAX_SAFE_INTEGER;
    const told = { promptTokens: most, cachedPromptTokens: 0, completionTokens: most };
    const spend = admission.settle(first, { ...told, estimated: false, produced: true });
    assert.deepEqual([spend?.inputTokens, spend?.outputTokens], [1e9, 1e9]);
    for (const grant of grants) if (!isRefusal(grant)) admission.cancel(grant);
    await store.flush();
    assert.equal(store.dropped, 0);
  });

  it('counts the rest of a batch of which something cannot be counted, and says how much', async () => {
    const store = await open();
    const other = await open();
    const client = server.client();
    const broken = [charge(100, 5), charge(100, 5, { kind: 'calendar', startMs: 0, endMs: clock.nowMs + 9_000 })];
    for (const { counter } of broken) await client.set(`fairlead:{limits}:count:${counter.key}`, 'nonsense');
    const tokens = charge(100, 5);
    const slot = charge(1, 1, held);
    const id = name();
    await store.reserve(id, [slot, tokens]);
    store.add([...broken, tokens]);
    store.settle(id, [slot, tokens], [1, 7]);
    store.add([tokens]);
    assert.equal(await store.flush(), true);
    assert.deepEqual([await used(other, tokens), await used(other, slot), store.dropped], [17, 0, 2]);
    client.disconnect();
  });

  it('gives back what has expired though a counter of it is spoilt', async () => {
    const holder = await open();
    const other = await open();
    const [slot, spoilt] = [charge(1, 1, held), charge(100, 5)];
    await holder.reserve(name(), [spoilt, slot]);
    await holder.close();
    const client = server.client();
    await client.set(`fairlead:{limits}:count:${spoilt.counter.key}`, 'nonsense');
    client.disconnect();
    clock.nowMs += LEASE_MS;
    assert.equal((await other.reserve(name(), [slot])).admitted, true);
  });

  it('reads many counters in several calls, none of which blocks the server for long', async () => {
    const store = await open();
    const kinds: Window[] = [held, minute, { kind: 'calendar', startMs: clock.nowMs, endMs: clock.nowMs + 9_000 }];
    const charges = Array.from({ length: 70 }, (_, i) => charge(1_000, i, kinds[i % 3]));
    await store.reserve(name(), charges);
    const client = server.client();
    await client.config('RESETSTAT');
    const states = await store.read(charges.map(({ counter }) => counter));
    const stats = await client.info('commandstats');
    client.disconnect();
    assert.deepEqual(
      states.map(({ used }) => used),
      charges.map(({ amount }) => amount),
    );
    assert.match(stats, /cmdstat_evalsha:calls=3,/);
    assert.match(stats, /cmdstat_mget:calls=3,/);
    assert.doesNotMatch(stats, /cmdstat_get:/);
  });

  it('hands over what the server has refused or was never sent', async () => {
    const locked = await ValkeyServer.start({ password: 'right' });
    const [port] = await freePorts(1);
    const next = await openStore(server);
    opened.push(next);
    const month: Counter = {
      key: name(),
      limit: 9,
      window: { kind: 'calendar', startMs: 0, endMs: 4e12 },
      shadow: false,
    };
    const second: Counter = { key: name(), limit: 9, window: { kind: 'sliding', periodMs: 1_000 }, shadow: false };
    try {
      const addresses = [
        { url: locked.url },
        { url: locked.url, password: 'wrong' },
        { url: `valkey://127.0.0.1:${port}` },
      ];
      for (const address of addresses) {
        const store = new ValkeyStore({ connection: new ValkeyConnection(address) });
        opened.push(store);
        store.add([{ counter: month, amount: 1 }]);
        // Over by now.
        store.add([{ counter: second, amount: 5 }], 60_000);
        assert.equal(await store.flush(), false);
        store.replaceBy(next);
        assert.equal(await store.flush(), true);
      }
      assert.equal(await next.flush(), true);
      assert.deepEqual(
        (await next.read([month, second])).map(({ used }) => used),
        [3, 0],
      );
    } finally {
      locked.stop();
    }
  });

  it('takes the time of the server', async () => {
    const store = await openStore(server);
    opened.push(store);
    const day: Counter = { key: name(), limit: 5, window: { kind: 'calendar', startMs: 0, endMs: 1 }, shadow: false };
    const century: Counter = { ...day, key: name(), window: { kind: 'calendar', startMs: 0, endMs: 4e12 } };
    await store.reserve(
      name(),
      [day, century].map(counter => ({ counter, amount: 1 })),
    );
    const justOver = {
      ...day,
      key: name(),
      window: { kind: 'calendar', startMs: 0, endMs: Date.now() - 600_000 },
    } as const;
    assert.equal((await store.reserve(name(), [{ counter: justOver, amount: 5 }])).admitted, true);
    assert.equal((await store.reserve(name(), [{ counter: justOver, amount: 1 }])).admitted, false);
    const client = server.client();
    const leftMs = await client.pttl(`fairlead:{limits}:count:${justOver.key}`);
    client.disconnect();
    assert.ok(leftMs > 2_900_000 && leftMs <= 3_000_000, `${leftMs}`);
    const [past, present] = await store.read([day, century]);
    assert.equal(past?.used, 0);
    assert.equal(present?.used, 1);
    assert.ok(Math.abs((present?.resetMs ?? 0) - (4e12 - Date.now())) < 60_000);
  });
});
