import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, suite, test } from 'node:test';
import Anthropic, { APIError as AnthropicError } from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import type { UsageReport } from '../../extproc/admit/usage-report.ts';
import { type SimPod, startPod } from '../../sim/pod.ts';
import { message } from '../clients/anthropic-node.ts';
import { chat, chatError } from '../clients/openai-node.ts';
import { consumer } from './harness/api-caller.ts';
import { Gateway, model } from './harness/gateway.ts';
import { until } from './harness/until.ts';

const HOUR = { per: 'hour' };
const MINUTE = { per: 'minute' };

/** A Consumer with a key of that value. */
function holder(name: string, key: string, spec: object) {
  const sha256 = createHash('sha256').update(key).digest('hex');
  return consumer(name, { apiKeys: [{ name: 'first', sha256 }], ...spec });
}

const CONSUMERS = [
  holder('team', 'key-of-team', {
    limits: [
      { requests: 3, ...HOUR },
      { requests: 100, ...MINUTE },
      { tokens: 10_000, ...HOUR },
      { outputTokens: 500, ...HOUR, shadow: true },
      { concurrency: 4 },
    ],
    budget: { amount: '2.5', currency: 'EUR', period: 'month', timeZone: 'Europe/Paris' },
    explain: { allow: true },
  }),
  holder('writer', 'key-of-writer', {
    limits: [
      { requests: 1, ...HOUR },
      { outputTokens: 100, ...HOUR },
    ],
  }),
  holder('unlimited', 'key-of-unlimited', {}),
];

// As `node:test` runs them in order, each test goes on from where the one before left the counters.
suite('what callers are told of their limits', { timeout: 120_000 }, () => {
  let pod: SimPod;
  let gateway: Gateway;

  before(async () => {
    pod = await startPod({ name: 'pod', models: ['m', 'free'], timeScale: 100 });
    const pricing = { currency: 'EUR', promptPerMillion: '1', completionPerMillion: '10' };
    gateway = await Gateway.start({
      resources: [model('m', [pod.endpoint], { pricing }), model('free', [pod.endpoint]), ...CONSUMERS],
      gateway: { authentication: { mode: 'apiKeys' } },
    });
  });
  after(async () => {
    await gateway?.close();
    await pod?.close();
  });

  const openAi = (name: string) =>
    new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: `key-of-${name}`, maxRetries: 0 });
  const usage = async (name: string) => {
    const response = await fetch(`${gateway.url}/v1/usage`, { headers: { 'x-api-key': `key-of-${name}` } });
    assert.equal(response.headers.get('content-type'), 'application/json');
    return (await response.json()) as UsageReport;
  };
  const rateLimits = (headers: Headers) =>
    Object.fromEntries([...headers].filter(([name]) => name.startsWith('x-ratelimit-')));

  test('GET /v1/usage before anything is used: every limit, the budget, no model', async () => {
    const { budget, ...rest } = await usage('team');
    const none = { used: 0, resets_at: null };
    assert.deepEqual(rest, {
      object: 'usage',
      consumer: 'team',
      limits: [
        {
          limit: '3 requests per hour for team',
          unit: 'requests',
          per: 'hour',
          amount: 3,
          ...none,
          remaining: 3,
          shadow: false,
        },
        {
          limit: '100 requests per minute for team',
          unit: 'requests',
          per: 'minute',
          amount: 100,
          ...none,
          remaining: 100,
          shadow: false,
        },
        {
          limit: '10,000 tokens per hour for team',
          unit: 'tokens',
          per: 'hour',
          amount: 10_000,
          ...none,
          remaining: 10_000,
          shadow: false,
        },
        {
          limit: '500 output tokens per hour for team',
          unit: 'output_tokens',
          per: 'hour',
          amount: 500,
          ...none,
          remaining: 500,
          shadow: true,
        },
        {
          limit: '4 requests at once for team',
          unit: 'concurrency',
          per: null,
          amount: 4,
          ...none,
          remaining: 4,
          shadow: false,
        },
      ],
      models: [],
    });
    const { resets_at: resetsAt, ...money } = budget ?? assert.fail('no budget');
    assert.deepEqual(money, { amount: '2.50', spent: '0.00', remaining: '2.50', currency: 'EUR', period: 'month' });
    const inParis = new Date(resetsAt).toLocaleString('sv', { timeZone: 'Europe/Paris' });
    assert.match(inParis, /^\d{4}-\d\d-01 00:00:00$/, 'the first of a month, at midnight there');
    assert.ok(Date.parse(resetsAt) > Date.now());
  });

  test('headers of an answer, as the official OpenAI client shows them', async () => {
    const asked = chat(openAi('team'), 'm', 7) as ReturnType<OpenAI['chat']['completions']['create']>;
    const { response } = await asked.withResponse();
    const { 'x-ratelimit-remaining-tokens': remaining, ...told } = rateLimits(response.headers);
    assert.match(told['x-ratelimit-reset-requests'] ?? '', /^1h[01]m[0-9]+s$/);
    assert.match(told['x-ratelimit-reset-tokens'] ?? '', /^1h[01]m[0-9]+s$/);
    assert.equal(told['x-ratelimit-limit-requests'], '3', 'the tightest of them');
    assert.equal(told['x-ratelimit-remaining-requests'], '2');
    assert.equal(told['x-ratelimit-limit-tokens'], '10000');
    assert.equal(Object.keys(told).length, 5);
    // What is reserved when the answer begins: the answer's tokens, and the prompt's by estimate.
    assert.ok(Number(remaining) < 9_993 && Number(remaining) > 9_900, remaining);
  });

  test('headers of a stream, and none where there is no limit', async () => {
    const body = {
      model: 'free',
      messages: [{ role: 'user' as const, content: 'Hi' }],
      max_tokens: 1,
      stream: true as const,
    };
    const streamed = await openAi('writer').chat.completions.create(body).withResponse();
    assert.equal(streamed.response.headers.get('x-ratelimit-remaining-requests'), '0');
    assert.equal(streamed.response.headers.get('x-ratelimit-limit-tokens'), '100');
    for await (const _ of streamed.data);
    const free = await openAi('unlimited').chat.completions.create(body).withResponse();
    assert.deepEqual(rateLimits(free.response.headers), {});
    for await (const _ of free.data);
  });

  test('GET /v1/usage after the answer: what it really took', async () => {
    await until('the settlement', async () => (await usage('team')).models.length === 1);
    const { limits, budget, models } = await usage('team');
    const prompt = 8;
    assert.deepEqual(
      limits.map(({ used, remaining }) => [used, remaining]),
      [
        [1, 2],
        [1, 99],
        [prompt + 7, 10_000 - prompt - 7],
        [7, 493],
        [0, 4],
      ],
    );
    for (const [i, minutes] of [60, 1, 60, 60].entries()) {
      const ms = Date.parse(limits[i]?.resets_at ?? '') - Date.now();
      // A bucket of sixty more than the period.
      assert.ok(ms > 0 && ms <= minutes * 61_000, `${ms} ms`);
    }
    // 8 × 1 + 7 × 10 millionths of a euro.
    assert.deepEqual([budget?.spent, budget?.remaining], ['0.000078', '2.499922']);
    assert.deepEqual(models, [
      { model: 'm', requests: 1, input_tokens: prompt, output_tokens: 7, cost: '0.000078', currency: 'EUR' },
    ]);
    await chat(openAi('team'), 'free', 2);
    await until('the second', async () => (await usage('team')).models.length === 2);
    assert.deepEqual((await usage('team')).models[0], {
      ...{ model: 'free', requests: 1, input_tokens: prompt, output_tokens: 2, cost: null, currency: null },
    });
  });

  test('explain tells each limit that was consulted', async () => {
    const response = await gateway.chat(
      'm',
      {
        headers: { 'x-fairlead-explain': '1', authorization: 'Bearer key-of-team' },
      },
      { max_tokens: 1 },
    );
    assert.equal(response.status, 200);
    const { limits } = JSON.parse(response.headers.get('x-fairlead-explain') ?? '{}') as {
      limits: readonly { limit: string; used: number; of: number; shadow: boolean }[];
    };
    assert.deepEqual(
      limits.map(({ limit, of, shadow }) => [limit, of, shadow]),
      [
        ['3 requests per hour for team', 3, false],
        ['100 requests per minute for team', 100, false],
        ['10,000 tokens per hour for team', 10_000, false],
        ['500 output tokens per hour for team', 500, true],
        ['4 requests at once for team', 4, false],
        ['2.50 EUR per month for team', 2_500_000_000, false],
      ],
    );
    assert.deepEqual([limits[0]?.used, limits[4]?.used], [3, 1]);
    await response.text();
  });

  test('the error, as the official OpenAI client raises it', async () => {
    const settled = 8 + 7 + (8 + 2) + (1 + 1);
    await until('the settlement', async () => (await usage('team')).limits[2]?.used === settled);
    const error = await chatError(openAi('team'), 'm');
    assert.ok(error instanceof OpenAI.RateLimitError);
    assert.equal(error.code, 'rate_limit_exceeded');
    assert.equal(error.type, 'rate_limit_error');
    assert.match(error.message, /^429 The limit is 3 requests per hour for team: 3 of 3 are used/);
    const retryAfter = Number(error.headers.get('retry-after'));
    assert.ok(retryAfter > 3_000 && retryAfter <= 3_661);
    assert.equal(error.headers.get('x-ratelimit-limit-requests'), '3');
    assert.equal(error.headers.get('x-ratelimit-remaining-requests'), '0');
    assert.equal(error.headers.get('x-ratelimit-remaining-tokens'), String(10_000 - settled));
  });

  test('the error, as the official Anthropic client raises it', async () => {
    const client = new Anthropic({ baseURL: gateway.url, apiKey: 'key-of-writer', maxRetries: 0 });
    const error = await message(client, 'm', 1).then(
      () => assert.fail('it was answered'),
      error => error,
    );
    assert.ok(error instanceof AnthropicError);
    assert.equal(error.constructor.name, 'RateLimitError');
    const { type, message: said } = (error.error as { error: { type: string; message: string } }).error;
    assert.equal(type, 'rate_limit_error');
    assert.match(said, /^The limit is 1 request per hour for writer: 1 of 1 are used/);
    assert.ok(Number(error.headers?.get('retry-after')) > 3_000);
  });
});
