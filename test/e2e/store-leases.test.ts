import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { ValkeyServer } from '../store/valkey-server.ts';
import { ApiCaller, assertLimited, consumer } from './harness/api-caller.ts';
import { type Gateway, model } from './harness/gateway.ts';
import { HeldPod } from './harness/held-pod.ts';
import { countedIn, nanoOf, StoreReader, startGateways } from './harness/shared-store.ts';
import { until } from './harness/until.ts';

/** At each of the two gateways. */
const STREAMS = 3;
const AT_ONCE = 2 * STREAMS;
const CONCURRENCY = '|concurrency|';

suite('who holds reservations in the store dies', { timeout: 120_000 }, () => {
  let store: ValkeyServer;
  let reader: StoreReader;
  let held: HeldPod;
  let gateways: Gateway[] = [];

  before(async () => {
    store = await ValkeyServer.start();
    reader = new StoreReader(store);
    held = await HeldPod.start();
    const pricing = { currency: 'EUR', completionPerMillion: '1000', perRequest: '0.01' };
    const limits = [{ concurrency: AT_ONCE }];
    gateways = await startGateways(2, {
      resources: [
        model('m', [held.endpoint], { pricing }),
        consumer('alice', { limits, budget: { amount: '100', currency: 'EUR', period: 'month' } }),
      ],
      gateway: countedIn(store, { timeout: '2s', onStoreFailure: 'deny' }),
      usageRecords: true,
    });
  });

  after(async () => {
    await Promise.all(gateways.map(gateway => gateway.close()));
    await held?.close();
    reader?.close();
    store?.stop();
  });

  const spentIn = (gateway: Gateway) => gateway.usageRecords().reduce((sum, { cost }) => sum + nanoOf(cost), 0);

  test('an extproc before it settles, an Envoy with streams open: all is given back or charged, once', async () => {
    const [first, second] = gateways as [Gateway, Gateway];
    const [here, there] = [new ApiCaller(first, 'alice'), new ApiCaller(second, 'alice')];
    const spent = async () => nanoOf((await here.usage()).budget?.spent);
    const open = (caller: ApiCaller) =>
      Array.from({ length: STREAMS }, () =>
        caller.ask('m', { stream: true, max_tokens: 1_000 }).then(
          ({ status }) => status,
          () => undefined,
        ),
      );
    let running = [...open(here), ...open(there)];
    await until('all at the pod', () => held.held === AT_ONCE);
    const reserved = await spent();
    assert.equal(reserved, AT_ONCE * 1_010_000_000, 'each may cost 1.01');
    assert.equal(await reader.leases(), AT_ONCE);

    const { extproc } = first.children();
    process.kill(extproc, 'SIGKILL');
    await until('another extproc', () => first.children().extproc !== extproc);
    await until('it to answer', () => here.usage().catch(() => undefined));
    assert.deepEqual([await here.used(), await spent()], [[AT_ONCE], reserved], 'still reserved: nobody knows better');
    assertLimited(
      await there.ask('m'),
      /^The limit is 6 requests at once for alice, and 6 are/,
      'concurrency_exceeded',
    );

    process.kill(second.children().envoy, 'SIGKILL');
    await here.untilUsed(STREAMS);
    await until('what never had a record to be settled', () => second.usageRecords().length === STREAMS);
    await until('only what the killed one reserved', async () => (await reader.leases()) === STREAMS);
    assert.equal(await spent(), spentIn(second) + STREAMS * 1_010_000_000);
    assert.ok(spentIn(second) > 0);

    // Streams of which nobody knows do not hold a place for ever.
    await here.untilUsed(0);
    held.finish();
    await Promise.all(running);
    assert.equal(await reader.leases(), 0);
    assert.equal(await spent(), spentIn(second));
    assert.deepEqual(first.usageRecords(), []);

    await until('the second to answer', () => there.usage().catch(() => undefined));
    running = [...open(here), ...open(there)];
    await until('as many as before', () => held.held === AT_ONCE);
    assert.equal(await reader.used(CONCURRENCY), AT_ONCE);
    held.finish();
    assert.deepEqual(await Promise.all(running), Array(AT_ONCE).fill(200));
    await until('all to be settled', async () => (await reader.leases()) === 0);
    await until('all that was spent', async () => (await spent()) === spentIn(first) + spentIn(second));
    assert.equal(first.usageRecords().length, STREAMS);
    assert.equal(second.usageRecords().length, 2 * STREAMS);
  });
});
