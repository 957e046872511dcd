import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { type PodSpec, type SimPod, startPod, startPods } from './pod.ts';

const MODEL = 'acme/llama';
const USER = [{ role: 'user', content: 'one two three four' }];
const FAST: PodSpec = { name: 'p', models: [MODEL, 'second'], timeScale: 100, maxModelTokens: 1000 };
const JSON_TYPE = { 'content-type': 'application/json' };

function post(pod: SimPod, path: string, body: unknown, init: RequestInit = {}): Promise<Response> {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return fetch(pod.url + path, { method: 'POST', headers: JSON_TYPE, body: text, ...init });
}

// Answers are JSON whose shape is what the tests are about.
// biome-ignore lint/suspicious/noExplicitAny: see above
async function json(response: Response | Promise<Response>): Promise<any> {
  return (await response).json();
}

/** The events of a stream: their names (undefined for OpenAI's older dialects) and data. */
// biome-ignore lint/suspicious/noExplicitAny: as above
async function events(response: Promise<Response>): Promise<{ name: string | undefined; data: any }[]> {
  const text = await (await response).text();
  const blocks = text.split('\n\n').filter(block => block !== '');
  return blocks.map(block => {
    const data = /^data: (.*)$/m.exec(block)?.[1] ?? '';
    return { name: /^event: (.*)$/m.exec(block)?.[1], data: data === '[DONE]' ? data : JSON.parse(data) };
  });
}

/** Waits until something holds. */
async function until(condition: () => boolean): Promise<void> {
  for (let tries = 0; !condition(); tries++) {
    assert.ok(tries < 5000, 'it never came to hold');
    await new Promise(resolve => setTimeout(resolve, 2));
  }
}

describe('a pod over HTTP', () => {
  let pod: SimPod;
  before(async () => {
    pod = await startPod(FAST);
  });
  after(() => pod.close());

  test('chat says who answered, what it cost, and the same again to the same question', async () => {
    const body = { model: 'second', messages: USER, max_tokens: 5 };
    const response = await post(pod, '/v1/chat/completions', body);
    assert.equal(response.headers.get('x-sim-pod'), 'p');
    const answer = await json(response);
    assert.equal(answer.model, 'second');
    assert.deepEqual(answer.usage, { prompt_tokens: 5, completion_tokens: 5, total_tokens: 10 });
    assert.equal(answer.choices[0].finish_reason, 'length');
    assert.equal(answer.choices[0].message.content.split(' ').length, 5);
    const again = await json(post(pod, '/v1/chat/completions', body));
    assert.deepEqual(again.choices, answer.choices);
  });

  test('without a limit it stops by itself, at a length of its own for each prompt', async () => {
    const lengths = new Set<number>();
    for (const content of ['a', 'b', 'c', 'd']) {
      const answer = await json(post(pod, '/v1/chat/completions', { messages: [{ role: 'user', content }] }));
      assert.equal(answer.choices[0].finish_reason, 'stop');
      assert.equal(answer.model, MODEL, 'none asked for: the first');
      lengths.add(answer.usage.completion_tokens);
    }
    assert.ok(lengths.size > 1);
  });

  test('chat streams: role, words, finish, usage where asked for, the mark', async () => {
    const body = { model: MODEL, messages: USER, max_tokens: 6, stream: true };
    const plain = await events(post(pod, '/v1/chat/completions', body));
    const counted = await events(
      post(pod, '/v1/chat/completions', { ...body, stream_options: { include_usage: true } }),
    );
    const whole = await json(post(pod, '/v1/chat/completions', { ...body, stream: false }));
    assert.equal(plain[0]?.data.choices[0].delta.role, 'assistant');
    const said = plain.flatMap(({ data }) => data.choices?.[0]?.delta.content ?? []).join('');
    assert.equal(said, whole.choices[0].message.content);
    assert.equal(plain.at(-2)?.data.choices[0].finish_reason, 'length');
    assert.ok(plain.every(({ data }) => data.usage === undefined));
    assert.deepEqual(counted.at(-2)?.data.usage, whole.usage);
    assert.deepEqual(counted.at(-2)?.data.choices, []);
    for (const stream of [plain, counted]) assert.equal(stream.at(-1)?.data, '[DONE]');
  });

  test('streams tell usage with each chunk where that is asked for', async () => {
    const asked = {
      max_tokens: 6,
      stream: true,
      stream_options: { include_usage: true, continuous_usage_stats: true },
    };
    for (const [path, prompt] of [
      ['/v1/chat/completions', { messages: USER }],
      ['/v1/completions', { prompt: 'tell me' }],
    ] as const) {
      const chunks = (await events(post(pod, path, { ...prompt, ...asked }))).slice(0, -1);
      const told = chunks.map(({ data }) => data.usage.completion_tokens);
      assert.deepEqual(
        told,
        told.toSorted((one, other) => one - other),
      );
      assert.equal(told.at(-1), 6);
      assert.ok(chunks.every(({ data }) => data.usage.prompt_tokens > 0));
    }
    const stream_options = { include_usage: false, continuous_usage_stats: true };
    const silent = await events(post(pod, '/v1/completions', { prompt: 'tell me', ...asked, stream_options }));
    assert.ok(silent.every(({ data }) => data.usage === undefined));
  });

  test('completions: text or token ids, whole or streamed', async () => {
    const whole = await json(post(pod, '/v1/completions', { prompt: [11, 12, 13], max_tokens: 4 }));
    assert.equal(whole.object, 'text_completion');
    assert.deepEqual(whole.usage, { prompt_tokens: 3, completion_tokens: 4, total_tokens: 7 });
    const body = { prompt: 'tell me', max_tokens: 4, stream: true, stream_options: { include_usage: true } };
    const streamed = await events(post(pod, '/v1/completions', body));
    const text = streamed.flatMap(({ data }) => data.choices?.[0]?.text ?? []).join('');
    assert.equal(text.split(' ').length, 4);
    assert.equal(streamed.at(-2)?.data.usage.completion_tokens, 4);
    assert.equal(streamed.at(-1)?.data, '[DONE]');
  });

  test('responses: whole and streamed agree', async () => {
    const body = { model: MODEL, input: [{ role: 'user', content: [{ type: 'input_text', text: 'hello there' }] }] };
    const whole = await json(post(pod, '/v1/responses', body));
    assert.equal(whole.status, 'completed');
    const streamed = await events(post(pod, '/v1/responses', { ...body, stream: true }));
    assert.equal(streamed[0]?.name, 'response.created');
    assert.deepEqual(
      streamed.map(({ data }) => data.sequence_number),
      streamed.map((_, index) => index),
    );
    assert.ok(streamed.every(({ name, data }) => name === data.type));
    const last = streamed.at(-1);
    assert.equal(last?.name, 'response.completed');
    assert.deepEqual(last?.data.response.usage, whole.usage);
    const deltas = streamed.flatMap(({ name, data }) => (name === 'response.output_text.delta' ? data.delta : []));
    assert.equal(deltas.join(''), whole.output[0].content[0].text);
    const cut = await json(post(pod, '/v1/responses', { ...body, max_output_tokens: 2 }));
    assert.deepEqual(cut.incomplete_details, { reason: 'max_output_tokens' });
  });

  test('messages: input tokens at the start, output tokens at the end', async () => {
    const body = { model: MODEL, max_tokens: 5, system: 'Be kind.', messages: USER };
    const whole = await json(post(pod, '/v1/messages', body));
    assert.equal(whole.type, 'message');
    const streamed = await events(post(pod, '/v1/messages', { ...body, stream: true }));
    const named = new Map(streamed.map(({ name, data }) => [name, data]));
    assert.deepEqual(
      [streamed[0]?.name, streamed.at(-2)?.name, streamed.at(-1)?.name],
      ['message_start', 'message_delta', 'message_stop'],
    );
    assert.equal(named.get('message_start').message.usage.input_tokens, whole.usage.input_tokens);
    assert.deepEqual(named.get('message_delta').usage, { output_tokens: 5 });
    assert.equal(named.get('message_delta').delta.stop_reason, 'max_tokens');
  });

  test('embeddings: vectors of length 1 that depend on the text alone, as floats or base64', async () => {
    const answer = await json(post(pod, '/v1/embeddings', { input: ['north', 'south', 'north'], dimensions: 8 }));
    const [north, south, again] = answer.data.map(({ embedding }: { embedding: number[] }) => embedding);
    assert.equal(north.length, 8);
    assert.ok(Math.abs(Math.hypot(...north) - 1) < 1e-6);
    assert.deepEqual(again, north);
    assert.notDeepEqual(south, north);
    assert.deepEqual([answer.usage.prompt_tokens, answer.usage.total_tokens], [6, 6]);
    const packed = await json(
      post(pod, '/v1/embeddings', { input: 'north', dimensions: 8, encoding_format: 'base64' }),
    );
    const bytes = Buffer.from(packed.data[0].embedding, 'base64');
    assert.deepEqual(
      Array.from({ length: 8 }, (_, index) => bytes.readFloatLE(4 * index)),
      north,
    );
  });

  test('many inputs may exceed together what one alone may not', async () => {
    const input = Array.from({ length: 20 }, () => 'x'.repeat(400));
    const answer = await json(post(pod, '/v1/embeddings', { input, dimensions: 2 }));
    assert.equal(answer.usage.prompt_tokens, 2000);
  });

  test('rerank sorts, classify labels, transcription reads its multipart form', async () => {
    const ranked = await json(post(pod, '/v1/rerank', { query: 'q', documents: ['a', 'b', 'c'], top_n: 2 }));
    const [first, second] = ranked.results;
    assert.equal(ranked.results.length, 2);
    assert.ok(first.relevance_score >= second.relevance_score);
    const classified = await json(post(pod, '/v1/classify', { input: ['a', 'b'] }));
    assert.deepEqual(
      classified.data.map(({ index, probs }: { index: number; probs: number[] }) => [index, probs.length]),
      [
        [0, 2],
        [1, 2],
      ],
    );
    const form = new FormData();
    form.set('model', MODEL);
    form.set('file', new Blob([new Uint8Array(64_000)]), 'speech.wav');
    const heard = await json(fetch(`${pod.url}/v1/audio/transcriptions`, { method: 'POST', body: form }));
    assert.match(heard.text, /^Hello from p:/);
    assert.deepEqual(heard.usage, { type: 'duration', seconds: 2 });
  });

  test('what is served, whether it lives', async () => {
    const models = await json(fetch(`${pod.url}/v1/models`));
    assert.deepEqual(
      models.data.map(({ id, max_model_len }: Record<string, unknown>) => [id, max_model_len]),
      [
        [MODEL, 1000],
        ['second', 1000],
      ],
    );
    assert.equal((await fetch(`${pod.url}/health`)).status, 200);
  });

  const wrong: [what: string, path: string, body: unknown, status: number, message: RegExp][] = [
    ['unknown model', '/v1/chat/completions', { model: 'gpt', messages: USER }, 404, /`gpt` does not exist/],
    ['not JSON', '/v1/chat/completions', '{"model":', 400, /JSON decode error/],
    ['no body', '/v1/chat/completions', '', 400, /JSON decode error/],
    ['not an object', '/v1/chat/completions', [], 400, /object/],
    ['model a number', '/v1/chat/completions', { model: 5, messages: USER }, 400, /model/],
    ['no messages', '/v1/chat/completions', { model: MODEL }, 400, /messages/],
    ['max_tokens 0', '/v1/chat/completions', { messages: USER, max_tokens: 0 }, 400, /max_tokens/],
    ['usage without stream', '/v1/chat/completions', { messages: USER, stream_options: {} }, 400, /stream=True/],
    ['too much asked for', '/v1/chat/completions', { messages: USER, max_tokens: 996 }, 400, /maximum context length/],
    ['prompt too long', '/v1/completions', { prompt: 'x'.repeat(4000) }, 400, /maximum context length/],
    ['one input too long', '/v1/embeddings', { input: ['x', 'x'.repeat(4004)] }, 400, /maximum context length/],
    ['input of a wrong kind', '/v1/embeddings', { input: { a: 1 } }, 400, /input/],
    ['no query', '/v1/rerank', { documents: ['a'] }, 400, /query/],
    ['not multipart', '/v1/audio/transcriptions', { file: 'a' }, 400, /multipart/],
  ];
  for (const [what, path, body, status, message] of wrong) {
    test(`${what}: ${status} in vLLM's shape`, async () => {
      const response = await post(pod, path, body);
      assert.equal(response.status, status);
      const { error } = await json(response);
      assert.equal(error.code, status);
      assert.match(error.message, message);
    });
  }

  test('errors on /v1/messages have Anthropic’s shape', async () => {
    const response = await post(pod, '/v1/messages', { model: 'gpt', max_tokens: 1, messages: USER });
    assert.equal(response.status, 404);
    const { type, error } = await json(response);
    assert.deepEqual([type, error.type], ['error', 'not_found_error']);
  });

  test('JSON under another content type is refused, as vLLM does', async () => {
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    const response = await post(pod, '/v1/chat/completions', { messages: USER }, { headers });
    assert.equal(response.status, 400);
  });

  test('unknown paths and methods', async () => {
    assert.equal((await fetch(`${pod.url}/v2`)).status, 404);
    assert.equal((await fetch(`${pod.url}/constructor`)).status, 404);
    const wrongMethod = await fetch(`${pod.url}/v1/chat/completions`);
    assert.deepEqual([wrongMethod.status, wrongMethod.headers.get('allow')], [405, 'POST']);
    assert.equal((await post(pod, '/health', {})).status, 405);
  });

  test('what reached it is recorded byte for byte, without the looking itself', async () => {
    const body = '{ "model":"acme/llama",  "n":12345678901234567890, "messages":[{"role":"user","content":"é"}] }';
    await (await post(pod, '/v1/chat/completions?a=b', body, { headers: { ...JSON_TYPE, 'X-Two': '1' } })).text();
    const recorded = pod.requests.at(-1);
    assert.equal(recorded?.path, '/v1/chat/completions?a=b');
    assert.deepEqual(recorded?.headers['x-two'], ['1']);
    assert.equal(recorded?.body?.toString(), body);
    assert.equal(recorded?.bodySha256, createHash('sha256').update(body).digest('hex'));
    await until(() => recorded?.outcome === 'answered');
    const count = pod.requests.length;
    const shown = await json(fetch(`${pod.url}/sim/requests`));
    assert.equal(shown.length, count);
    assert.equal(shown.at(-1).body, body);
    assert.equal(pod.requests.length, count);
  });
});

describe('a pod at work', () => {
  test('metrics have vLLM’s names and add up', async () => {
    await using pod = await startPod(FAST);
    await (await post(pod, '/v1/completions', { prompt: [1, 2, 3], max_tokens: 4 })).text();
    const text = await (await fetch(`${pod.url}/metrics`)).text();
    const value = (metric: string) => Number(new RegExp(`^${metric}\\{.*\\} (.*)$`, 'm').exec(text)?.[1] ?? Number.NaN);
    for (const [metric, expected] of Object.entries({
      'vllm:prompt_tokens_total': 3,
      'vllm:generation_tokens_total': 4,
      'vllm:num_requests_running': 0,
      'vllm:num_requests_waiting': 0,
      'vllm:kv_cache_usage_perc': 0,
      'vllm:gpu_cache_usage_perc': 0,
      'vllm:num_preemptions_total': 0,
      'vllm:cache_config_info': 1,
    })) {
      assert.equal(value(metric), expected, metric);
    }
    assert.match(text, /^vllm:request_success_total\{finished_reason="length".*\} 1$/m);
    assert.match(text, /num_gpu_blocks="27437"/);
  });

  test('stream headers come at once, before the prompt is read', async () => {
    // The first step takes more than ten minutes.
    await using pod = await startPod({ ...FAST, gpu: 'l4', timeScale: 0.0001 });
    const gone = new AbortController();
    const body = { messages: USER, stream: true };
    const response = await post(pod, '/v1/chat/completions', body, { signal: gone.signal });
    assert.equal(response.status, 200);
    assert.equal(response.headers.get('content-type'), 'text/event-stream; charset=utf-8');
    assert.equal(pod.load.running, 1);
    gone.abort();
  });

  for (const stream of [true, false]) {
    test(`a client that leaves frees its place and its KV (${stream ? 'stream' : 'whole'})`, async () => {
      await using pod = await startPod({ ...FAST, timeScale: 0.0001 });
      const gone = new AbortController();
      const asked = post(pod, '/v1/chat/completions', { messages: USER, stream }, { signal: gone.signal });
      asked.catch(() => {});
      await until(() => pod.load.running === 1 && pod.load.kvBlocks.used > 0);
      gone.abort();
      await until(() => pod.load.running === 0);
      assert.equal(pod.load.kvBlocks.used, 0);
      assert.equal(pod.requests[0]?.outcome, 'cut');
      const text = await (await fetch(`${pod.url}/metrics`)).text();
      assert.match(text, /finished_reason="abort".*\} 1$/m);
    });
  }

  test('a client that leaves in its own body leaves nothing', async () => {
    await using pod = await startPod(FAST);
    const socket = connect(pod.port, pod.address);
    await once(socket, 'connect');
    socket.write('POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\n{"mod');
    socket.resetAndDestroy();
    const answer = await json(post(pod, '/v1/chat/completions', { messages: USER }));
    assert.equal(answer.model, MODEL);
    assert.equal(pod.requests.length, 1);
  });

  test('idle connections are closed by the pod, busy ones are not', { timeout: 4000 }, async () => {
    await using pod = await startPod({ ...FAST, idleCloseMs: 30, timeScale: 1 });
    const socket = connect(pod.port, pod.address);
    const body = JSON.stringify({ messages: USER, max_tokens: 10 });
    const head = `POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n`;
    socket.write(`${head}content-length: ${body.length}\r\n\r\n${body}`);
    let received = '';
    socket.on('data', chunk => {
      received += chunk;
    });
    // Ten steps of 7 ms take longer than the idle time: the answer comes first.
    await once(socket, 'close');
    assert.match(received, /^HTTP\/1.1 200 /);
    assert.match(received, /"completion_tokens":10/);
  });

  test('the oldest requests are forgotten, never the last ones', async () => {
    await using pod = await startPod({ ...FAST, rememberedRequests: 3 });
    for (let number = 0; number < 10; number++) await (await fetch(`${pod.url}/health`)).text();
    const numbers = pod.requests.map(({ number }) => number);
    assert.ok(numbers.length >= 3 && numbers.length < 6);
    assert.deepEqual(
      numbers,
      numbers.map((_, index) => 10 - numbers.length + index),
    );
  });
});

describe('starting pods', () => {
  test('several on addresses of their own; the signal ends them', async () => {
    const stop = new AbortController();
    const places = ['127.0.9.1', '127.0.9.2'];
    const pods = await startPods(
      places.map(address => ({ name: address, models: [MODEL], address })),
      { signal: stop.signal },
    );
    for (const pod of pods) assert.equal((await fetch(`${pod.url}/health`)).headers.get('x-sim-pod'), pod.address);
    stop.abort();
    for (const pod of pods) await assert.rejects(fetch(`${pod.url}/health`));
  });

  test('an address that is taken is named, and the other pods are closed again', async () => {
    const squatter = createServer().listen(0, '127.0.0.1');
    await once(squatter, 'listening');
    const { port } = squatter.address() as { port: number };
    const free: PodSpec = { name: 'a', models: [MODEL], address: '127.0.9.3', port };
    const specs = [free, { ...free, name: 'b', address: '127.0.0.1' }];
    await assert.rejects(startPods(specs), new RegExp(`127\\.0\\.0\\.1:${port} is taken`));
    await assert.rejects(fetch(`http://127.0.9.3:${port}/health`));
    squatter.close();
  });

  test('limits that make no sense are refused', async () => {
    await assert.rejects(startPod({ ...FAST, kvTokens: 3 }), RangeError);
  });
});
