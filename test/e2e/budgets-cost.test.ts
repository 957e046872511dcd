import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { type SimPod, startPod } from '../../sim/pod.ts';
import { assertOpenAiError } from './harness/answer.ts';
import { ApiCaller, assertLimited, consumer } from './harness/api-caller.ts';
import { Gateway, model } from './harness/gateway.ts';
import { chatCompletion, ScriptedPod } from './harness/scripted-pod.ts';
import { until } from './harness/until.ts';

const EUR = { currency: 'EUR' };
/** Enough for everything here. */
const AMPLE = { amount: '1000', ...EUR, period: 'month' };
const cached = { prompt_tokens: 100, completion_tokens: 7, prompt_tokens_details: { cached_tokens: 80 } };

/** 30 s of silence: 8,000 samples a second of a byte each. */
function waveFile(): Buffer {
  const header = Buffer.alloc(44);
  const bytes = 240_000;
  header.write('RIFF');
  header.writeUInt32LE(36 + bytes, 4);
  header.write('WAVEfmt ', 8);
  for (const [offset, value] of [
    [16, 16],
    [24, 8_000],
    [28, 8_000],
    [40, bytes],
  ] as const) {
    header.writeUInt32LE(value, offset);
  }
  for (const [offset, value] of [
    [20, 1],
    [22, 1],
    [32, 1],
    [34, 8],
  ] as const)
    header.writeUInt16LE(value, offset);
  header.write('data', 36);
  return Buffer.concat([header, Buffer.alloc(bytes, 128)]);
}

suite('budgets', { timeout: 120_000 }, () => {
  let pod: SimPod;
  let scripted: ScriptedPod;
  let gateway: Gateway;

  before(async () => {
    pod = await startPod({ name: 'pod', models: ['flat', 'dear', 'pounds', 'speech'], timeScale: 100 });
    scripted = await ScriptedPod.start({
      cached: { body: chatCompletion(cached) },
      pictures: { body: { created: 1, data: [] } },
    });
    const exact = {
      ...EUR,
      promptPerMillion: '0.123457',
      cachedPromptPerMillion: '0.012346',
      completionPerMillion: '0.654321',
    };
    gateway = await Gateway.start({
      resources: [
        model('cached', [scripted.endpoint], { pricing: exact }),
        model('pictures', [scripted.endpoint], { type: 'text-to-image', pricing: { ...EUR, perImage: '0.02' } }),
        model('flat', [pod.endpoint], { pricing: { ...EUR, perRequest: '0.4' } }),
        model('dear', [pod.endpoint], { pricing: { ...EUR, completionPerMillion: '1000000' } }),
        model('pounds', [pod.endpoint], { pricing: { currency: 'GBP', perRequest: '5' } }),
        model('speech', [pod.endpoint], {
          type: 'automatic-speech-recognition',
          pricing: { ...EUR, perAudioMinute: '0.006' },
        }),
        ...['exact', 'painter', 'speaker', 'failing', 'mixed'].map(name => consumer(name, { budget: AMPLE })),
        consumer('poor', { budget: { ...AMPLE, amount: '1', period: 'day', timeZone: 'Asia/Kathmandu', warnAt: 80 } }),
        consumer('lavish', { budget: { ...AMPLE, amount: '10' } }),
        consumer('penniless', { budget: { ...AMPLE, amount: '0' } }),
      ],
      usageRecords: true,
    });
  });
  after(async () => {
    await gateway?.close();
    await Promise.all([pod?.close(), scripted?.close()]);
  });

  const caller = (name: string) => new ApiCaller(gateway, name);
  const spent = async (name: string) => (await caller(name).usage()).budget?.spent;
  const untilSpent = (name: string, amount: string) =>
    until(`${amount} spent by ${name}`, async () => (await spent(name)) === amount);
  const costs = (name: string) =>
    gateway
      .usageRecords()
      .filter(record => record.consumer === `default/${name}`)
      .map(({ cost, currency }) => `${cost} ${currency}`);
  const ratio = (name: string) => gateway.metric(`fairlead_budget_used_ratio{consumer="default/${name}"}`);

  test('a request costs what its tokens cost, cached ones less, to the billionth', async () => {
    const asking = caller('exact');
    for (let asked = 0; asked < 3; asked++) assert.equal((await asking.ask('cached')).status, 200);
    // 20 × 123457 + 80 × 12346 + 7 × 654321 = 8037067 of 10^-12, rounded up for each request.
    await untilSpent('exact', '0.000024114');
    await until('three records', () => costs('exact').length === 3);
    assert.deepEqual(costs('exact'), Array(3).fill('0.000008038 EUR'));
    const { budget, models } = await asking.usage();
    assert.equal(budget?.remaining, '999.999975886');
    assert.deepEqual(models, [
      { model: 'cached', requests: 3, input_tokens: 300, output_tokens: 21, cost: '0.000024114', currency: 'EUR' },
    ]);
    const total = await gateway.metric('fairlead_consumer_cost_total{consumer="default/exact",currency="EUR"}');
    assert.ok(Math.abs(total - 0.000024114) < 1e-12);
  });

  test('images by their number, sound by its length', async () => {
    await caller('painter').post('/v1/images/generations', { model: 'pictures', prompt: 'A harbour', n: 3 });
    await untilSpent('painter', '0.06');
    const form = new FormData();
    form.set('model', 'speech');
    form.set('file', new Blob([new Uint8Array(waveFile())]), 'silence.wav');
    const headers = caller('speaker').headers;
    const answer = await fetch(`${gateway.url}/v1/audio/transcriptions`, { method: 'POST', headers, body: form });
    assert.equal(answer.status, 200, await answer.text());
    await untilSpent('speaker', '0.003');
    await until('both records', () => costs('painter').length + costs('speaker').length === 2);
    assert.deepEqual([costs('painter'), costs('speaker')], [['0.06 EUR'], ['0.003 EUR']]);
  });

  test('what fails costs nothing', async () => {
    pod.fault({ kind: 'status', status: 400, times: 1 });
    assert.equal((await caller('failing').ask('flat')).status, 400);
    await until('the record', () => costs('failing').length === 1);
    assert.deepEqual(costs('failing'), ['0.00 EUR']);
    assert.equal(await spent('failing'), '0.00');
  });

  test('spent is spent: 429 insufficient_quota, with the day that it is renewed', async () => {
    const asking = caller('poor');
    assert.equal((await asking.ask('flat')).status, 200);
    await untilSpent('poor', '0.40');
    assert.equal(await ratio('poor'), 0, 'not worth a warning yet');
    assert.equal((await asking.ask('flat')).status, 200);
    await untilSpent('poor', '0.80');
    await until('the warning', async () => (await ratio('poor')) === 0.8);
    const resetsAt = (await asking.usage()).budget?.resets_at ?? assert.fail('no date');
    const refused = await asking.ask('flat');
    const retryAfter = assertLimited(
      refused,
      /^The budget is 1[.]00 EUR per day for poor: 0[.]80 of it are spent, and this request may cost 0[.]40[.] Lower max_tokens, ask for a larger budget, or wait until it is renewed, which is at \d{4}-\d\d-\d\dT18:15:00[.]000Z[.]$/,
      'insufficient_quota',
    );
    assert.ok(refused.body.includes(resetsAt), 'midnight in Kathmandu');
    const promised = Date.now() + (retryAfter ?? assert.fail('no retry-after')) * 1_000;
    assert.ok(Math.abs(promised - Date.parse(resetsAt)) < 10_000, 'the same moment in seconds');
    assert.equal(await spent('poor'), '0.80', 'a refused request costs nothing');
  });

  test('what an answer may cost is reserved, what it did not cost is given back', async () => {
    const asking = caller('lavish');
    const beyond = await asking.ask('dear', { max_tokens: 11 });
    assert.equal(
      assertLimited(beyond, /this request may cost 11[.]00[.] Lower max_tokens, or ask/, 'insufficient_quota'),
      undefined,
    );
    assert.equal(await spent('lavish'), '0.00');
    assert.equal((await asking.ask('dear', { max_tokens: 4 })).status, 200);
    await untilSpent('lavish', '4.00');
    assert.equal((await asking.ask('dear', { max_tokens: 7 })).status, 429);
    assert.equal((await asking.ask('dear', { max_tokens: 6 })).status, 200);
    await untilSpent('lavish', '10.00');
    await until('the warning', async () => (await ratio('lavish')) === 1);
  });

  test('another currency is told by model, and is not of the budget', async () => {
    const asking = caller('mixed');
    for (const name of ['pounds', 'flat']) assert.equal((await asking.ask(name)).status, 200);
    await untilSpent('mixed', '0.40');
    await until('both', async () => (await asking.usage()).models.length === 2);
    const models = (await asking.usage()).models.map(({ model, cost, currency }) => [model, cost, currency]);
    assert.deepEqual(models, [
      ['flat', '0.40', 'EUR'],
      ['pounds', '5.00', 'GBP'],
    ]);
  });

  test('a budget of 0 is no access to what has a price in its currency', async () => {
    const asking = caller('penniless');
    assertOpenAiError(await asking.ask('flat'), {
      ...{ status: 403, code: 'model_not_allowed', type: 'permission_error', param: 'model' },
      message: 'You have no access to flat: the budget is 0.00 EUR per month for penniless.',
    });
    assert.equal((await asking.ask('pounds')).status, 200);
  });
});
