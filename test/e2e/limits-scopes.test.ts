import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { type SimPod, startPod } from '../../sim/pod.ts';
import type { Answer } from './harness/answer.ts';
import { ApiCaller, assertLimited, consumer } from './harness/api-caller.ts';
import { Gateway, type Manifest, model } from './harness/gateway.ts';

const hourly = (requests: number, more: object = {}) => ({ requests, per: 'hour', ...more });

const CONSUMERS = [
  consumer('three', { limits: [hourly(3)] }),
  consumer('free'),
  consumer('ten'),
  consumer('twenty'),
  consumer('team', { users: ['alice', 'bob'], limits: [hourly(2, { each: ['user'] })] }),
  consumer('by-model', { limits: [hourly(1, { each: ['model'] }), hourly(2, { models: ['one', 'other-*'] })] }),
  consumer('by-endpoint', { limits: [hourly(1, { endpoint: 'completions' }), hourly(1, { each: ['endpoint'] })] }),
];

suite('limits, by whom they are for and on what', { timeout: 120_000 }, () => {
  let pod: SimPod;
  let gateway: Gateway;

  before(async () => {
    pod = await startPod({
      ...{ name: 'pod', timeScale: 100 },
      models: ['one', 'other-two', 'other-three', 'spare', 'shared', 'apportioned', 'ruled'],
    });
    const serve = (name: string, spec: Manifest = {}) => model(name, [pod.endpoint], spec);
    gateway = await Gateway.start({
      resources: [
        ...['one', 'other-two', 'other-three', 'spare', 'ruled'].map(name => serve(name)),
        serve('shared', { limits: [hourly(3)] }),
        serve('apportioned', { limits: [hourly(1, { each: ['consumer'] })] }),
        ...CONSUMERS,
      ],
      gateway: {
        anonymous: { limits: [hourly(3), hourly(2, { each: ['user'] })] },
        limits: { rules: [hourly(3, { models: ['ruled'] }), hourly(2, { models: ['ruled'], each: ['consumer'] })] },
      },
    });
  });
  after(async () => {
    await gateway?.close();
    await pod?.close();
  });

  const caller = (name?: string) => new ApiCaller(gateway, name);
  /** Of the limits of the caller himself, without those that the gateway and its models have for each. */
  const ownUsed = async (name: string) => {
    const { limits } = await caller(name).usage();
    return limits.filter(({ limit }) => !limit.includes('each consumer')).map(({ used }) => used);
  };
  const assertPasses = async (asked: Promise<Answer>) => {
    const answer = await asked;
    assert.equal(answer.status, 200, answer.body);
  };
  const assertRefused = async (asked: Promise<Answer>, text: string) => {
    const reached = pod.requests.length;
    const retryAfter =
      assertLimited(await asked, new RegExp(`^The limit is ${text}: `)) ?? assert.fail('no retry-after');
    // One bucket of sixty more than the period, and a second for the rounding.
    assert.ok(retryAfter > 3_000 && retryAfter <= 3_661, `${retryAfter} s`);
    assert.equal(pod.requests.length, reached, 'no pod was asked');
  };

  test('a consumer, and no other', async () => {
    for (let asked = 0; asked < 3; asked++) await assertPasses(caller('three').ask('one'));
    const refused = await caller('three').ask('other-two');
    assertLimited(
      refused,
      /^The limit is 3 requests per hour for three: 3 of 3 are used, and this request to other-two is one more[.] Try again in 3,[0-9]{3} s[.]$/,
    );
    await assertPasses(caller('free').ask('one'));
    assert.deepEqual(await ownUsed('three'), [3]);
    assert.deepEqual(await ownUsed('free'), []);
  });

  test('each end-user of a consumer', async () => {
    for (const user of ['alice', 'alice', 'bob']) await assertPasses(caller(user).ask('one'));
    await assertRefused(caller('alice').ask('one'), '2 requests per hour for each user of team');
    await assertPasses(caller('bob').ask('one'));
    await assertPasses(caller('team').ask('one'));
    assert.deepEqual(await ownUsed('alice'), [2]);
    assert.deepEqual(await ownUsed('team'), [1]);
  });

  test('each model of a consumer, and models by their names', async () => {
    const asking = caller('by-model');
    await assertPasses(asking.ask('one'));
    await assertRefused(asking.ask('one'), '1 request per hour for each model of by-model');
    await assertPasses(asking.ask('other-two'));
    await assertRefused(asking.ask('other-three'), '2 requests per hour for by-model, on one, other-[*]');
    await assertPasses(asking.ask('spare'));
    const { limits } = await asking.usage();
    const told = limits.filter(({ limit }) => limit.includes('each model of'));
    const used = Object.fromEntries(told.map(({ model, used }) => [model, used]));
    assert.equal(told.length, 7, 'one for each model');
    assert.deepEqual([used.one, used['other-two'], used['other-three'], used.spare, used.ruled], [1, 1, 0, 1, 0]);
  });

  test('each endpoint of a consumer, and endpoints by their names', async () => {
    const asking = caller('by-endpoint');
    const complete = (more = {}) =>
      asking.post('/v1/completions', { model: 'one', prompt: 'Hi', max_tokens: 1, ...more });
    await assertPasses(complete());
    await assertRefused(complete(), '1 request per hour for by-endpoint, at completions');
    await assertPasses(asking.ask('one'));
    await assertRefused(asking.ask('one'), '1 request per hour for each endpoint of by-endpoint');
    const { limits } = await asking.usage();
    const used = limits.filter(({ endpoint }) => endpoint !== undefined).map(({ endpoint, used }) => [endpoint, used]);
    assert.deepEqual(Object.fromEntries(used), {
      '/v1/chat/completions': 1,
      '/v1/completions': 1,
      '/v1/responses': 0,
      '/v1/messages': 0,
    });
  });

  test('all callers of a model', async () => {
    for (const name of ['free', 'ten', 'free']) await assertPasses(caller(name).ask('shared'));
    await assertRefused(caller('twenty').ask('shared'), '3 requests per hour for the model shared');
    // What others use together with him is not his to know.
    assert.deepEqual(await ownUsed('twenty'), []);
  });

  test('each caller of a model', async () => {
    for (const name of ['free', 'ten']) await assertPasses(caller(name).ask('apportioned'));
    await assertRefused(
      caller('ten').ask('apportioned'),
      '1 request per hour for each consumer of the model apportioned',
    );
    await assertPasses(caller('twenty').ask('apportioned'));
    const { limits } = await caller('ten').usage();
    assert.deepEqual(
      limits.map(({ limit, used }) => [limit, used]),
      [
        ['2 requests per hour for each consumer of the gateway, on ruled', 0],
        ['1 request per hour for each consumer of the model apportioned', 1],
      ],
    );
  });

  test('rules of the gateway', async () => {
    for (const name of ['free', 'free']) await assertPasses(caller(name).ask('ruled'));
    await assertRefused(caller('free').ask('ruled'), '2 requests per hour for each consumer of the gateway, on ruled');
    await assertPasses(caller('ten').ask('ruled'));
    await assertRefused(caller('twenty').ask('ruled'), '3 requests per hour for the gateway, on ruled');
    await assertPasses(caller('twenty').ask('one'));
  });

  test('callers without a name, together and each by what he calls himself', async () => {
    await assertPasses(caller('mallory').ask('one'));
    await assertPasses(caller('mallory').ask('one'));
    await assertRefused(caller('mallory').ask('one'), '2 requests per hour for each user of callers without a name');
    await assertPasses(caller().ask('one'));
    assert.deepEqual(await ownUsed('mallory'), [3, 2]);
    assert.deepEqual(await ownUsed(''), [3, 1]);
    await assertRefused(caller('trudy').ask('one'), '3 requests per hour for callers without a name');
    await assertPasses(caller('free').ask('one'));
    const { consumer, models, budget } = await caller('trudy').usage();
    assert.deepEqual([consumer, models, budget], ['anonymous', [], null]);
  });
});
