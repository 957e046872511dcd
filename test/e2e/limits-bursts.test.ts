import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { type SimPod, startPod } from '../../sim/pod.ts';
import type { Answer } from './harness/answer.ts';
import { ApiCaller, assertLimited, consumer } from './harness/api-caller.ts';
import { Gateway, model } from './harness/gateway.ts';
import { HeldPod } from './harness/held-pod.ts';
import { chatCompletion, ScriptedPod } from './harness/scripted-pod.ts';
import { until } from './harness/until.ts';

const CLIENTS = 50;

const CONSUMERS = [
  consumer('minutely', { limits: [{ requests: 20, per: 'minute' }] }),
  consumer('secondly', { limits: [{ requests: 20, per: 'second' }] }),
  consumer('patient', { limits: [{ requests: 3, per: 'second' }] }),
  consumer('frugal', { limits: [{ tokens: 100, per: 'second' }] }),
  consumer('mixed', { limits: [{ tokens: 1_000, per: 'hour' }, { concurrency: CLIENTS }] }),
  consumer('several', { limits: [{ concurrency: 8 }] }),
  consumer('verbose', { limits: [{ outputTokens: 100, per: 'hour' }] }),
];

suite('many at once', { timeout: 120_000 }, () => {
  let pod: SimPod;
  let held: HeldPod;
  let scripted: ScriptedPod;
  let gateway: Gateway;

  before(async () => {
    pod = await startPod({ name: 'pod', models: ['quick'], timeScale: 100 });
    held = await HeldPod.start();
    const usage = { prompt_tokens: 1, completion_tokens: 500, total_tokens: 501 };
    scripted = await ScriptedPod.start({ talkative: { body: chatCompletion(usage) } });
    gateway = await Gateway.start({
      resources: [
        model('quick', [pod.endpoint]),
        model('held', [held.endpoint]),
        model('talkative', [scripted.endpoint]),
        ...CONSUMERS,
      ],
    });
  });
  after(async () => {
    await gateway?.close();
    await Promise.all([pod, held, scripted].map(each => each?.close()));
  });

  const all = <Value>(ask: () => Promise<Value>, count = CLIENTS) => Promise.all(Array.from({ length: count }, ask));
  const passed = (answers: readonly Answer[]) => answers.filter(({ status }) => status === 200);

  test('of fifty exactly as many pass as may', async () => {
    const asking = new ApiCaller(gateway, 'minutely');
    const reached = pod.requests.length;
    const answers = await all(() => asking.ask('quick'));
    assert.equal(passed(answers).length, 20);
    assert.equal(pod.requests.length - reached, 20);
    for (const answer of answers) {
      if (answer.status !== 200)
        assertLimited(answer, /^The limit is 20 requests per minute for minutely: 20 of 20 are used/);
    }
    assert.deepEqual(await asking.used(), [20]);
  });

  test('as many pass again once the period is over', async () => {
    const asking = new ApiCaller(gateway, 'secondly');
    for (let round = 0; round < 2; round++) {
      const answers = await all(() => asking.ask('quick'), 20);
      assert.equal(passed(answers).length, 20, `round ${round}`);
      await asking.untilUsed(0);
    }
  });

  test('who waits as long as he was told passes, whatever he lacks', async () => {
    for (const [name, more] of [
      ['patient', {}],
      ['frugal', { max_tokens: 60 }],
    ] as const) {
      const asking = new ApiCaller(gateway, name);
      const ask = () => asking.ask('quick', more);
      const refused = await until('a refusal', async () => (await all(ask, 10)).find(({ status }) => status !== 200));
      const seconds = assertLimited(refused, / Try again in [12] s[.]$/) ?? assert.fail('no retry-after');
      // What is promised is an amount of time.
      await delay(seconds * 1_000);
      assert.equal((await ask()).status, 200, name);
    }
  });

  test('tokens are reserved before anything is answered: no more pass than fit, all of them at once', async () => {
    const asking = new ApiCaller(gateway, 'mixed');
    const first = await asking.begin('held', { max_tokens: 32 });
    const [each = 0] = await asking.used();
    assert.ok(each > 32 && each < 64, `${each} tokens are reserved`);
    const fitting = Math.floor(1_000 / each);
    const answers = await all(() => asking.begin('held', { max_tokens: 32 }));
    const begun = answers.filter(({ status }) => status === 200);
    assert.equal(begun.length + 1, fitting);
    assert.deepEqual(await asking.used(), [fitting * each, fitting]);
    assert.equal(held.held, fitting);
    held.finish();
    await Promise.all([first, ...answers].map(answer => answer.text()));
    await until('all settled', async () => {
      const [tokens = 0, running] = await asking.used();
      return tokens < fitting * each && running === 0;
    });
  });

  test('of fifty no more run at the same time than may, again and again', async () => {
    const asking = new ApiCaller(gateway, 'several');
    for (let round = 0; round < 2; round++) {
      const answers = await all(() => asking.begin('held'));
      const begun = answers.filter(({ status }) => status === 200);
      assert.equal(begun.length, 8);
      for (const answer of answers) {
        if (answer.status === 200) continue;
        const { status, headers } = answer;
        const expected =
          /^The limit is 8 requests at once for several, and 8 are running[.] held can be asked once one of them has ended[.]$/;
        const retryAfter = assertLimited(
          { status, headers, body: await answer.text() },
          expected,
          'concurrency_exceeded',
        );
        assert.equal(retryAfter, 1, 'nobody knows when one of them ends: soon, maybe');
      }
      assert.deepEqual(await asking.used(), [8]);
      held.finish();
      await Promise.all(begun.map(answer => answer.text()));
      await asking.untilUsed(0);
    }
  });

  test('an answer longer than what was reserved is a debt that the next request waits for', async () => {
    const asking = new ApiCaller(gateway, 'verbose');
    assert.equal((await asking.ask('talkative', { max_tokens: 1 })).status, 200);
    await asking.untilUsed(500);
    const refused = await asking.ask('talkative', { max_tokens: 1 });
    const seconds = assertLimited(refused, /^The limit is 100 output tokens per hour for verbose: 500 of 100 are used/);
    assert.ok((seconds ?? 0) > 3_000, 'it is waited for as what was reserved');
  });
});
