import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { type SimPod, startPod } from '../../sim/pod.ts';
import { assertOpenAiError } from './harness/answer.ts';
import { ApiCaller, assertLimited, consumer } from './harness/api-caller.ts';
import { freePorts } from './harness/free-ports.ts';
import { Gateway, model } from './harness/gateway.ts';
import { until } from './harness/until.ts';

const HOUR = { per: 'hour' };
/** One of each kind, of which a request may be refused by any. */
const ALL = [
  { requests: 100, ...HOUR },
  { tokens: 1_000, ...HOUR },
  { inputTokens: 500, ...HOUR },
  { outputTokens: 400, ...HOUR },
  { concurrency: 10 },
];
/** A prompt of 600 tokens, at four bytes each. */
const LONG_PROMPT = { messages: [{ role: 'user', content: 'long '.repeat(480) }] };

const CONSUMERS = [
  consumer('all', { limits: ALL }),
  consumer('model-bound', { limits: [{ requests: 100, ...HOUR }] }),
  consumer('spender', { limits: [{ requests: 1, ...HOUR }] }),
  consumer('barred', {
    limits: [
      { requests: 100, ...HOUR },
      { requests: 0, ...HOUR, model: 'm' },
      { concurrency: 0, endpoint: 'completions' },
      { tokens: 0, ...HOUR, model: 'unready', shadow: true },
    ],
  }),
  consumer('shadowed', {
    limits: [
      { requests: 2, ...HOUR, shadow: true },
      { outputTokens: 5, ...HOUR, shadow: true },
    ],
  }),
  consumer('unserved', { limits: ALL, budget: { amount: '1', currency: 'EUR', period: 'day' } }),
  consumer('changing', { limits: [{ requests: 2, ...HOUR }] }),
];

suite('what a limit refuses', { timeout: 120_000 }, () => {
  let pod: SimPod;
  let gateway: Gateway;

  before(async () => {
    pod = await startPod({ name: 'pod', models: ['m', 'narrow', 'small'], timeScale: 100 });
    const [nobody] = await freePorts(1);
    const pricing = { currency: 'EUR', perRequest: '0.10' };
    const selector = { matchLabels: { app: 'nobody' } };
    gateway = await Gateway.start({
      resources: [
        model('m', [pod.endpoint]),
        model('narrow', [pod.endpoint], { limits: [{ outputTokens: 8, ...HOUR, each: ['consumer'] }] }),
        model('small', [pod.endpoint], { maxContextLength: 64 }),
        model('refusing', [`127.0.0.1:${nobody}`], { pricing }),
        model('unready', [], { pricing, backend: { endpoints: undefined, pods: { selector, port: 8000 } } }),
        ...CONSUMERS.slice(0, -1),
      ],
    });
    gateway.write('changing.yaml', CONSUMERS.slice(-1));
    await caller('changing').untilKnown(2);
  });
  after(async () => {
    await gateway?.close();
    await pod?.close();
  });

  const caller = (name: string) => new ApiCaller(gateway, name);
  const checks = (limit: string, outcome: string) =>
    gateway.metric(`fairlead_limit_checks_total{scope="consumer",limit="${limit}",outcome="${outcome}"}`);

  test('one of several limits: it is told, and nothing is taken from any', async () => {
    const asking = caller('all');
    assert.equal((await asking.ask('m', { max_tokens: 100 })).status, 200);
    // The limit of the model counts for him, too.
    await asking.untilUsed(1, 101, 1, 100, 0, 0);
    const refusals: readonly (readonly [more: object, message: RegExp])[] = [
      [
        { max_tokens: 350 },
        /^The limit is 400 output tokens per hour for all: 100 of 400 are used, and this request to m may take 350 [(][0-9]+ of input, 350 of output[)][.] Try again in 3,/,
      ],
      [
        { ...LONG_PROMPT, max_tokens: 1 },
        /^The limit is 500 input tokens per hour for all, and this request to m may take 6[0-9][0-9] [(].*[)]: it can never pass[.]/,
      ],
      [{ max_tokens: 1_000 }, /it can never pass/],
    ];
    for (const [more, message] of refusals) {
      assertLimited(await asking.ask('m', more), message);
      assert.deepEqual(await asking.used(), [1, 101, 1, 100, 0, 0]);
    }
    assert.equal((await asking.ask('m', { max_tokens: 300 })).status, 200, 'all that is left can be used');
    await asking.untilUsed(2, 402, 2, 400, 0, 0);
  });

  test('that of the model takes nothing from his own, and his own nothing from that of the model', async () => {
    const asking = caller('model-bound');
    assertLimited(
      await asking.ask('narrow', { max_tokens: 9 }),
      /^The limit is 8 output tokens per hour for each consumer/,
    );
    assert.deepEqual(await asking.used(), [0, 0]);
    const spender = caller('spender');
    assert.equal((await spender.ask('narrow', { max_tokens: 2 })).status, 200);
    await spender.untilUsed(1, 2);
    assertLimited(await spender.ask('narrow', { max_tokens: 2 }), /^The limit is 1 request per hour for spender/);
    assert.deepEqual(await spender.used(), [1, 2]);
  });

  test('more than a limit in one request: it is told that this can never pass', async () => {
    const retryAfter = assertLimited(
      await caller('all').ask('m', { max_tokens: 401 }),
      /^The limit is 400 output tokens per hour for all, and this request to m may take 401 [(].*[)]: it can never pass[.] Lower max_tokens, or send less at once[.]$/,
    );
    assert.equal(retryAfter, undefined);
  });

  test('a limit of 0 is no access, and takes nothing; as a shadow it lets pass', async () => {
    const asking = caller('barred');
    const denied = { status: 403, code: 'model_not_allowed', type: 'permission_error', param: 'model' };
    assertOpenAiError(await asking.ask('m'), {
      ...denied,
      message: 'You have no access to m: the limit is 0 requests per hour for barred, on m.',
    });
    assertOpenAiError(await asking.post('/v1/completions', { model: 'narrow', prompt: 'Hi', max_tokens: 1 }), {
      ...denied,
      message: 'You have no access to narrow: the limit is 0 requests at once for barred, at completions.',
    });
    assert.equal((await asking.ask('unready')).status, 503);
    assert.deepEqual((await asking.used()).slice(0, 3), [0, 0, 0]);
    assert.equal((await asking.ask('narrow')).status, 200);
  });

  test('a shadow limit counts and tells, and refuses nobody', async () => {
    const asking = caller('shadowed');
    for (let asked = 0; asked < 3; asked++) {
      const answer = await asking.ask('m', { max_tokens: 3 });
      assert.equal(answer.status, 200);
      assert.equal(answer.headers.get('x-ratelimit-limit-requests'), null, 'what does not hold is not told');
    }
    await asking.untilUsed(3, 9, 0);
    const [requests, tokens] = (await asking.usage()).limits;
    assert.deepEqual([requests?.shadow, requests?.amount, requests?.remaining], [true, 2, 0]);
    assert.deepEqual([tokens?.shadow, tokens?.amount, tokens?.remaining], [true, 5, 0]);
    assert.equal(await checks('2 requests per hour for shadowed', 'admitted'), 2);
    assert.equal(await checks('2 requests per hour for shadowed', 'shadowed'), 1);
    assert.equal(await checks('2 requests per hour for shadowed', 'refused'), 0);
    assert.equal(await checks('5 output tokens per hour for shadowed', 'shadowed'), 2);
  });

  test('what is refused for another reason, or reaches no endpoint, takes nothing', async () => {
    const asking = caller('unserved');
    const statuses = [
      (await asking.ask('unready')).status,
      (await asking.ask('small', { max_tokens: 65 })).status,
      (await asking.ask('nothing')).status,
      (await asking.ask('m', { stream: 'yes' })).status,
    ];
    assert.deepEqual(statuses, [503, 400, 404, 400]);
    assert.deepEqual(await asking.used(), [0, 0, 0, 0, 0, 0]);
    // Here one was picked: that it refuses connections is known after the limits were asked, and charged as a request.
    assert.equal((await asking.ask('refusing')).status, 503);
    await asking.untilUsed(1, 0, 0, 0, 0, 0);
    const { budget } = await asking.usage();
    assert.equal(budget?.spent, '0.00');
  });

  test('a change of the limit counts on', async () => {
    const asking = caller('changing');
    const [before] = CONSUMERS.slice(-1);
    const change = async (limits: readonly object[]) => {
      gateway.write('changing.yaml', [{ ...before, spec: { limits } }]);
      const [first] = limits as [{ requests: number }];
      await until('the change', async () => (await asking.usage()).limits[0]?.amount === first.requests);
    };
    for (const status of [200, 200, 429]) assert.equal((await asking.ask('m')).status, status);
    await change([{ requests: 3, ...HOUR }]);
    assert.deepEqual(await asking.used(), [2, 0]);
    for (const status of [200, 429]) assert.equal((await asking.ask('m')).status, status);
    await change([{ requests: 1, ...HOUR }]);
    const [lowered] = (await asking.usage()).limits;
    assert.deepEqual([lowered?.amount, lowered?.used, lowered?.remaining], [1, 3, 0]);
    assertLimited(await asking.ask('m'), /^The limit is 1 request per hour for changing: 3 of 1 are used/);
    await change([{ requests: 4, ...HOUR, shadow: false }, { concurrency: 1 }]);
    for (const status of [200, 429]) assert.equal((await asking.ask('m')).status, status);
  });
});
