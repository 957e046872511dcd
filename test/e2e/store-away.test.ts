import assert from 'node:assert/strict';
import { after, before, suite, type TestContext, test } from 'node:test';
import { type SimPod, startPod } from '../../sim/pod.ts';
import { ValkeyServer } from '../store/valkey-server.ts';
import { type Answer, assertOpenAiError } from './harness/answer.ts';
import { ApiCaller, assertLimited, consumer } from './harness/api-caller.ts';
import { AskingClients } from './harness/asking-clients.ts';
import type { Child } from './harness/child.ts';
import { Gateway, model } from './harness/gateway.ts';
import { HeldPod } from './harness/held-pod.ts';
import { startIdleAgents } from './harness/idle-agents.ts';
import { countedIn, nanoOf, StoreReader } from './harness/shared-store.ts';
import { until } from './harness/until.ts';

/** Of which all but one are asked nothing. */
const AGENTS = 4;
const LIMIT = 400;
const SHARE = LIMIT / AGENTS;
const AT_ONCE = 3;
const MODELS = ['local', 'deny', 'allow', 'slow', 'empty', 'full', 'ready'] as const;

const UP = 'fairlead_limit_store_up';
const FAILURES = 'fairlead_limit_store_failures_total';
const WITHOUT = 'fairlead_requests_without_store_total';
const UNAVAILABLE = {
  status: 503,
  retryAfter: 1,
  code: 'gateway_unavailable',
  type: 'overloaded_error',
  message: 'The limits store does not answer, and no request passes without it. Try again shortly.',
};

suite('the store of limits is away', { timeout: 170_000 }, () => {
  let store: ValkeyServer;
  let pod: SimPod;
  let held: HeldPod;
  let gateway: Gateway;
  let alice: ApiCaller;
  let idle: Child[] = [];

  before(async () => {
    store = await ValkeyServer.start({ persistent: true });
    const names: [string, ...string[]] = [...MODELS];
    pod = await startPod({ name: 'pod', models: names, timeScale: 500, rememberedRequests: 100_000 });
    held = await HeldPod.start();
    const pricing = { currency: 'EUR', promptPerMillion: '1', completionPerMillion: '2', perRequest: '0.001' };
    gateway = await Gateway.start({
      resources: [
        // Each test has a model of its own, and with it counters that nobody has used.
        ...names.map(name => model(name, [pod.endpoint], { pricing })),
        model('held', [held.endpoint]),
        consumer('alice', { budget: { amount: '1000', currency: 'EUR', period: 'month' } }),
      ],
      gateway: settings('local'),
      usageRecords: true,
    });
    alice = new ApiCaller(gateway, 'alice');
    idle = await startIdleAgents(gateway, AGENTS - 1);
  });

  after(async () => {
    await Promise.all(idle.map(agent => agent.end('SIGKILL')));
    await gateway?.close();
    await Promise.all([pod, held].map(each => each?.close()));
    store?.stop();
  });

  function settings(onStoreFailure: string, server = store) {
    const rules = [
      { requests: LIMIT, per: 'minute', each: ['model'] },
      { concurrency: AT_ONCE, model: 'held' },
    ];
    return countedIn(server, { onStoreFailure, timeout: '2s', rules });
  }

  /** Changes the gateway, and waits until its limits are counted in the store. */
  const follow = async (spec: Readonly<Record<string, unknown>>): Promise<void> => {
    const before = (await gateway.node()).table?.version;
    gateway.writeGateway(spec);
    await until('the change', async () => (await gateway.node()).table?.version !== before);
    await until('an answer that was counted', async () => {
      const { headers } = await alice.ask('ready');
      const [limit, left] = ['limit', 'remaining'].map(what => headers.get(`x-ratelimit-${what}-requests`));
      return limit === String(LIMIT) && left !== limit;
    });
  };

  const untilUp = (up: 0 | 1) => until(`${UP} ${up}`, async () => (await gateway.metric(UP)) === up);

  /** Told to the operator, by the second. */
  const untilFailure = (text: RegExp) =>
    until(`the failure ${text}`, async () => text.test((await gateway.node()).limitStore.failure ?? ''));

  const load = (t: TestContext, name: (typeof MODELS)[number]) => {
    const body = { model: name, messages: [{ role: 'user', content: 'Hi' }], max_tokens: 2 };
    const clients = new AskingClients({ url: gateway.url, clients: 8, headers: alice.headers, body });
    t.after(() => clients.stop());
    return clients;
  };

  /** Whoever was answered by this agent alone was told its share. */
  const isOfShare = ({ headers }: Answer): boolean => headers.get('x-ratelimit-limit-requests') === String(SHARE);

  /** Every answer is counted once, in requests and in money, whatever became of the store. */
  const assertCountedOnce = async (clients: AskingClients, name: string): Promise<void> => {
    assert.deepEqual(clients.failures, []);
    const passed = clients.count(200);
    assert.equal(pod.requests.filter(({ body }) => body?.includes(`"model":"${name}"`)).length, passed, 'at the pod');
    const reader = new StoreReader(store);
    try {
      let told = '';
      const isRight = async () => {
        const counted = await reader.used(`|requests|60|*default/${name}`);
        const { budget, models } = await alice.usage();
        const { requests } = models.find(({ model }) => model === name) ?? {};
        const records = gateway.usageRecords();
        const spent = records.reduce((sum, { cost }) => sum + nanoOf(cost), 0);
        told = JSON.stringify({ passed, counted, requests, spent, budget });
        const written = records.filter(({ model }) => model === name).length;
        return [counted, requests, written].every(each => each === passed) && nanoOf(budget?.spent) === spent;
      };
      await until('equal sums', async () => (await reader.leases()) === 0 && isRight(), 10_000).catch(error => {
        throw new Error(`${error.message}: ${told}`);
      });
    } finally {
      reader.close();
    }
  };

  test('local: goes on with the share of this agent, and adds what it used when the store is back', async t => {
    const [failures, without] = [await gateway.metric(FAILURES), await gateway.metric(WITHOUT)];
    const clients = load(t, 'local');
    await clients.untilMore(200, 40);
    await store.kill();
    const refused = await clients.untilMore(429, 20);
    await clients.stop();
    assertLimited(refused, /^The limit is 400 requests per minute for each model of the gateway: 100 of 100 are used/);
    assert.deepEqual(clients.statuses, [200, 429]);
    const alone = clients.answers.filter(isOfShare);
    assert.equal(alone.filter(({ status }) => status === 200).length, SHARE);
    assert.equal(await gateway.metric(UP), 0);
    assert.equal(await gateway.metric(FAILURES), failures + 1, 'given up once');
    assert.equal(await gateway.metric(WITHOUT), without + alone.length);
    await untilFailure(/ECONNREFUSED|closed/);
    await gateway.untilShown('extproc: limits.store_failed: ');
    await store.restart();
    await untilUp(1);
    await assertCountedOnce(clients, 'local');
    const answer = await alice.ask('local');
    assert.equal(answer.status, 200);
    assert.equal(answer.headers.get('x-ratelimit-limit-requests'), String(LIMIT));
    assert.equal(answer.headers.get('x-ratelimit-remaining-requests'), String(LIMIT - clients.count(200) - 1));
  });

  test('deny: 503 that names the store, until it is back', async t => {
    await follow(settings('deny'));
    const [failures, without] = [await gateway.metric(FAILURES), await gateway.metric(WITHOUT)];
    const clients = load(t, 'deny');
    await clients.untilMore(200, 40);
    await store.kill();
    assertOpenAiError(await clients.untilMore(503, 40), UNAVAILABLE);
    await store.restart();
    await clients.untilMore(200, 40);
    await clients.stop();
    assert.deepEqual(clients.statuses, [200, 503]);
    assert.equal(await gateway.metric(FAILURES), failures + 1);
    assert.equal(await gateway.metric(WITHOUT), without + clients.count(503));
    await assertCountedOnce(clients, 'deny');
  });

  test('allow: all pass, and what they used is owed when it is back', async t => {
    await follow(settings('allow'));
    const clients = load(t, 'allow');
    await clients.untilMore(200, 40);
    await store.kill();
    await clients.untilMore(200, LIMIT);
    await clients.stop();
    assert.deepEqual(clients.statuses, [200]);
    await store.restart();
    await untilUp(1);
    await assertCountedOnce(clients, 'allow');
    const used = clients.count(200);
    assertLimited(await alice.ask('allow'), new RegExp(`: ${used} of 400 are used`));
  });

  test('frozen: one waits, and after it nobody does', async t => {
    await follow(settings('local'));
    const [failures, without] = [await gateway.metric(FAILURES), await gateway.metric(WITHOUT)];
    const clients = load(t, 'slow');
    await clients.untilMore(200, 20);
    store.pause();
    try {
      // If each waited for its 2 s, this would take longer than is waited for it.
      await clients.untilMore(429, LIMIT);
      await clients.stop();
      assert.equal(await gateway.metric(FAILURES), failures + 1);
      assert.equal(await gateway.metric(WITHOUT), without + clients.answers.filter(isOfShare).length);
      await gateway.untilShown('extproc: limits.store_failed: no answer within 2000 ms');
    } finally {
      store.resume();
    }
    await untilUp(1);
    await assertCountedOnce(clients, 'slow');
  });

  test('back without its data: what runs is held again', async t => {
    const forgetful = await ValkeyServer.start();
    t.after(() => forgetful.stop());
    await follow(settings('local', forgetful));
    const running = Array.from({ length: AT_ONCE }, () => alice.ask('held', { stream: true }));
    try {
      await until('as many as may be', () => held.held === AT_ONCE);
      await forgetful.kill();
      await until('that to be known', async () => {
        await alice.ask('empty');
        return (await gateway.metric(UP)) === 0;
      });
      await forgetful.restart();
      await untilUp(1);
      assertLimited(await alice.ask('held'), /^The limit is 3 requests at once/, 'concurrency_exceeded');
    } finally {
      held.finish();
      await Promise.all(running);
    }
    // Released a moment after they have ended.
    const next = until('its turn', async () => (await alice.ask('held')).status === 200);
    await until('the next at the pod', () => held.held === 1);
    held.finish();
    await next;
  });

  test('full: the policy holds, and the operator is told why', async t => {
    await follow(settings('deny'));
    const reader = new StoreReader(store);
    try {
      await reader.limitMemory(1);
      const clients = load(t, 'full');
      assertOpenAiError(await clients.untilMore(503, 20), UNAVAILABLE);
      await gateway.untilShown("extproc: limits.store_failed: the server's memory is full (OOM ");
      await untilFailure(/^the server's memory is full \(OOM /);
      await reader.limitMemory(0);
      await clients.untilMore(200, 20);
      await clients.stop();
      assert.deepEqual(clients.statuses, [200, 503]);
      await untilFailure(/^$/);
    } finally {
      reader.close();
    }
  });
});
