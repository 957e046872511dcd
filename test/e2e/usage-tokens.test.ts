import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import type { UsageRecord } from '../../extproc/admit/usage-record.ts';
import { type SimPod, startPod } from '../../sim/pod.ts';
import { ApiCaller, consumer } from './harness/api-caller.ts';
import { Gateway, type Manifest, model } from './harness/gateway.ts';
import { chatCompletion, ScriptedPod } from './harness/scripted-pod.ts';
import { until } from './harness/until.ts';

const NAME = 'reader';
const MESSAGES = { messages: [{ role: 'user', content: 'Where is the harbour?' }] };
/** Of that prompt, as the pod counts them. */
const PROMPT = 6;
/** Of a stream, for each token where it tells none: about an event. */
const EVENT_BYTES = 220;
const USAGE = { stream_options: { include_usage: true } };
const CONTINUOUS = { stream_options: { include_usage: true, continuous_usage_stats: true } };

/** Requests whose answers tell what they took: endpoint, body, and the tokens of prompt and answer. */
const TOLD: Readonly<Record<string, readonly [path: string, body: object, prompt: number, answer: number]>> = {
  'a chat': ['/v1/chat/completions', { ...MESSAGES, max_tokens: 12 }, PROMPT, 12],
  'a chat that streams': ['/v1/chat/completions', { ...MESSAGES, max_tokens: 13, stream: true, ...USAGE }, PROMPT, 13],
  'a chat that streams usage all along': [
    '/v1/chat/completions',
    { ...MESSAGES, max_tokens: 14, stream: true, ...CONTINUOUS },
    ...([PROMPT, 14] as const),
  ],
  'a completion': ['/v1/completions', { prompt: 'The harbour is', max_tokens: 9 }, 4, 9],
  'a completion that streams': [
    '/v1/completions',
    { prompt: 'The harbour is', max_tokens: 9, stream: true, ...USAGE },
    4,
    9,
  ],
  'a completion that streams usage all along': [
    '/v1/completions',
    { prompt: 'The harbour is', max_tokens: 10, stream: true, ...CONTINUOUS },
    ...([4, 10] as const),
  ],
  'a response': ['/v1/responses', { input: 'Where is the harbour?', max_output_tokens: 17 }, PROMPT, 17],
  'a response that streams': [
    '/v1/responses',
    { input: 'Where is the harbour?', max_output_tokens: 18, stream: true },
    PROMPT,
    18,
  ],
  'a message': ['/v1/messages', { ...MESSAGES, max_tokens: 21 }, PROMPT, 21],
  'a message that streams': ['/v1/messages', { ...MESSAGES, max_tokens: 22, stream: true }, PROMPT, 22],
};

const cached = {
  prompt_tokens: 100,
  completion_tokens: 5,
  total_tokens: 105,
  prompt_tokens_details: { cached_tokens: 80 },
};
const reasoned = {
  prompt_tokens: 7,
  completion_tokens: 50,
  total_tokens: 57,
  completion_tokens_details: { reasoning_tokens: 40 },
};
/** What engines say that the simulated one does not. */
const SCRIPTS = {
  silent: { body: chatCompletion(undefined, 'x'.repeat(4_000)) },
  nulled: { body: { ...chatCompletion(undefined, 'x'.repeat(4_000)), usage: null } },
  cached: { body: chatCompletion(cached) },
  reasoned: { body: chatCompletion(reasoned) },
  zipped: { headers: { 'content-encoding': 'gzip' }, body: gzipSync(JSON.stringify(chatCompletion(reasoned))) },
  garbled: { body: '{"usage": {"prompt_tokens": "many"' },
};

suite('tokens are charged as they were used', { timeout: 120_000 }, () => {
  let pod: SimPod;
  let scripted: ScriptedPod;
  let gateway: Gateway;
  let asking: ApiCaller;

  before(async () => {
    pod = await startPod({ name: 'pod', models: ['m', 'forced', 'e'] });
    scripted = await ScriptedPod.start(SCRIPTS);
    const serve = (name: string, spec: Manifest = {}) => model(name, [pod.endpoint], spec);
    gateway = await Gateway.start({
      resources: [
        ...[serve('m'), serve('forced', { forceUsage: true }), serve('e', { type: 'text-embeddings' })],
        ...Object.keys(SCRIPTS).map(name => model(name, [scripted.endpoint])),
        consumer(NAME, { limits: ['inputTokens', 'outputTokens'].map(unit => ({ [unit]: 1_000_000, per: 'day' })) }),
      ],
      usageRecords: true,
    });
    asking = new ApiCaller(gateway, NAME);
    await asking.untilKnown(2);
  });
  after(async () => {
    await gateway?.close();
    await Promise.all([pod?.close(), scripted?.close()]);
  });

  /** The one record of what was done, which the limits agree with. */
  async function recordOf(act: () => Promise<unknown>): Promise<UsageRecord> {
    const count = (await records()).length;
    const [inputBefore = 0, outputBefore = 0] = await asking.used();
    await act();
    await until('its record', async () => (await records()).length > count);
    const [record = assert.fail(), ...others] = (await records()).slice(count);
    assert.deepEqual(others, []);
    assert.equal(record.consumer, `default/${NAME}`);
    assert.deepEqual(await asking.used(), [inputBefore + record.input_tokens, outputBefore + record.output_tokens]);
    return record;
  }
  const records = async () => gateway.usageRecords();
  const begin = async (more: object, signal?: AbortSignal) => {
    const answer = await asking.begin('m', { ...MESSAGES, ...more }, signal);
    assert.equal(answer.status, 200);
    return answer;
  };

  for (const [what, [path, body, prompt, output]] of Object.entries(TOLD)) {
    test(`${what}: as it told`, async () => {
      const record = await recordOf(() => asking.post(path, { model: 'm', ...body }));
      const { time, id, ...rest } = record;
      assert.ok(Math.abs(Date.parse(time) - Date.now()) < 60_000);
      assert.equal(id, pod.requests.at(-1)?.headers['x-fairlead-id']?.[0]);
      assert.deepEqual(rest, {
        ...{ consumer: `default/${NAME}`, user: NAME, model: 'm', backend: 'pods', endpoint: path, status: 200 },
        ...{ input_tokens: prompt, cached_input_tokens: 0, output_tokens: output },
        ...{ estimated: false, cost: null, currency: null },
      });
    });
  }

  test('embeddings: as they told, the prompt only', async () => {
    const record = await recordOf(() => asking.post('/v1/embeddings', { model: 'e', input: ['one', 'and another'] }));
    assert.deepEqual([record.input_tokens, record.output_tokens, record.estimated], [1 + 3, 0, false]);
  });

  test('forceUsage: a stream that was not asked for it tells, and the client sees the chunk', async () => {
    let text = '';
    const record = await recordOf(async () => {
      text = (await asking.ask('forced', { ...MESSAGES, max_tokens: 15, stream: true })).body;
    });
    assert.deepEqual([record.input_tokens, record.output_tokens, record.estimated], [PROMPT, 15, false]);
    const chunks = text
      .split('\n\n')
      .slice(0, -2)
      .map(event => JSON.parse(event.slice('data: '.length)));
    assert.deepEqual([chunks.at(-1).choices, chunks.at(-1).usage.completion_tokens], [[], 15]);
    const { stream_options: options } = JSON.parse(pod.requests.at(-1)?.body?.toString() ?? '{}');
    assert.deepEqual(options, { include_usage: true });
  });

  test('a stream that tells nothing: by its bytes, and marked', async () => {
    let bytes = 0;
    const record = await recordOf(async () => {
      bytes = Buffer.byteLength(await (await begin({ max_tokens: 100 })).text());
    });
    assert.equal(record.estimated, true);
    assert.ok(record.input_tokens > PROMPT && record.input_tokens < 40, `${record.input_tokens} of the prompt`);
    assert.equal(record.output_tokens, Math.ceil(bytes / EVENT_BYTES));
  });

  for (const name of ['silent', 'nulled'] as const) {
    test(`an answer that tells nothing: by its bytes, and marked (${name})`, async () => {
      const { input_tokens: input, output_tokens: output, estimated } = await recordOf(() => asking.ask(name));
      assert.equal(estimated, true);
      assert.ok(input > 1 && output > 900 && output < 1_100, `${input} and ${output}`);
    });
  }

  test('what was cached is told apart; reasoning is part of the answer', async () => {
    const hit = await recordOf(() => asking.ask('cached'));
    assert.deepEqual([hit.input_tokens, hit.cached_input_tokens, hit.output_tokens], [100, 80, 5]);
    const thought = await recordOf(() => asking.ask('reasoned'));
    assert.deepEqual([thought.input_tokens, thought.output_tokens, thought.estimated], [7, 50, false]);
  });

  test('an answer that cannot be read, zipped or garbled: by its bytes, and marked', async () => {
    for (const name of ['zipped', 'garbled'] as const) {
      const record = await recordOf(() => asking.ask(name));
      assert.equal(record.estimated, true, name);
      assert.ok(record.input_tokens > 0, name);
    }
  });

  for (const [what, more] of [
    ['a stream', {}],
    // Envoy tells nothing of usage that it did not read to its end.
    ['a stream that tells usage all along', CONTINUOUS],
  ] as const) {
    test(`a client that goes away in the middle of ${what}: what was said by then`, async () => {
      pod.fault({ kind: 'stall', afterTokens: 40, times: 1 });
      const leaving = new AbortController();
      let bytes = 0;
      const record = await recordOf(async () => {
        const { body } = await begin({ max_tokens: 400, ...more }, leaving.signal);
        bytes = await untilSaid(body ?? assert.fail('no body'), 40);
        leaving.abort();
      });
      assert.deepEqual([record.estimated, record.output_tokens], [true, Math.ceil(bytes / EVENT_BYTES)]);
    });
  }

  test('a client that goes away before any answer: the prompt, by estimate', async () => {
    for (const stream of [false, true]) {
      pod.fault({ kind: 'stall', times: 1 });
      const leaving = new AbortController();
      const reached = pod.requests.length;
      const record = await recordOf(async () => {
        const waiting = asking.begin('m', { ...MESSAGES, stream }, leaving.signal);
        await until('the request at the pod', () => pod.requests.length > reached);
        leaving.abort();
        await assert.rejects(waiting);
      });
      assert.deepEqual([record.status, record.output_tokens, record.estimated], [0, 0, true]);
      assert.ok(record.input_tokens > PROMPT && record.input_tokens < 40, `${record.input_tokens} of the prompt`);
    }
  });

  test('a pod that breaks off: what was said by then', async () => {
    pod.fault({ kind: 'reset-mid-stream', afterTokens: 40, times: 1 });
    const record = await recordOf(async () => assert.rejects((await begin({ max_tokens: 400 })).text()));
    assert.deepEqual([record.status, record.estimated], [200, true]);
    assert.ok(record.output_tokens > 0 && record.output_tokens < 80, `${record.output_tokens} of 40`);
  });

  test('an error, of the pod or of the way to it: nothing', async () => {
    const took = ({ status, input_tokens: input, output_tokens: output, estimated }: UsageRecord) => [
      ...[status, input, output, estimated],
    ];
    for (const status of [400, 500, 429]) {
      pod.fault({ kind: 'status', status, times: 1 });
      assert.deepEqual(took(await recordOf(() => asking.ask('m'))), [status, 0, 0, false]);
    }
    pod.fault({ kind: 'reset-before-headers', times: 1 });
    assert.deepEqual(took(await recordOf(() => asking.ask('m'))), [502, 0, 0, false]);
  });
});

/** Reads a chat until it has said so many tokens, each of which is a word: the bytes that took. */
async function untilSaid(body: ReadableStream<Uint8Array>, tokens: number): Promise<number> {
  let text = '';
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  const said = () => Array.from(text.matchAll(/"content":"([^"]*)"/g), ([, words]) => words).join('');
  while (said().split(' ').length < tokens) text += (await reader.read()).value ?? assert.fail('it ended');
  return Buffer.byteLength(text);
}
