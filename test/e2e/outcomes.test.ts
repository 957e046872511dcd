import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import type { SimPod } from '../../sim/pod.ts';
import { Gateway, model } from './harness/gateway.ts';
import { HeldPod } from './harness/held-pod.ts';
import { ModelBench } from './harness/model-bench.ts';
import { until } from './harness/until.ts';

/** Requests of each kind that tells its usage, as JSON and as a stream. */
const TOLD = {
  chat: {
    path: '/v1/chat/completions',
    body: { messages: [{ role: 'user', content: 'Where is the harbour?' }], max_tokens: 12 },
    streamed: { stream: true, stream_options: { include_usage: true } },
  },
  completions: {
    path: '/v1/completions',
    body: { prompt: 'The harbour is', max_tokens: 9 },
    streamed: { stream: true, stream_options: { include_usage: true } },
  },
  responses: {
    path: '/v1/responses',
    body: { input: 'Where is the harbour?', max_output_tokens: 17 },
    streamed: { stream: true },
  },
  messages: {
    path: '/v1/messages',
    body: { messages: [{ role: 'user', content: 'Where is the harbour?' }], max_tokens: 21 },
    streamed: { stream: true },
  },
  embeddings: { path: '/v1/embeddings', body: { input: ['one', 'and another'] }, streamed: undefined },
} as const;

/** Usage as the dialects have it. */
interface Usage {
  readonly prompt_tokens?: number;
  readonly input_tokens?: number;
  readonly completion_tokens?: number;
  readonly output_tokens?: number;
}

suite('outcomes', () => {
  let gateway: Gateway;
  let bench: ModelBench;
  let held: HeldPod;

  before(async () => {
    gateway = await Gateway.start({ resources: [], logLevel: 'debug' });
    bench = new ModelBench(gateway);
    held = await HeldPod.start();
  });

  after(async () => {
    await gateway?.close();
    await bench?.close();
    await held?.close();
  });

  const settlements = (kind: string) => gateway.metric(`fairlead_settlements_total{kind="${kind}"}`);
  const requests = (name: string, code: string) =>
    gateway.metric(`fairlead_requests_total{model="${name}",backend="pods",code="${code}"}`);
  const tokens = async (name: string) => ({
    prompt: await gateway.metric(`fairlead_tokens_total{model="${name}",kind="prompt"}`),
    completion: await gateway.metric(`fairlead_tokens_total{model="${name}",kind="completion"}`),
  });
  /** A stream on the held pod that has begun; what it says is left to whoever wants to read it. */
  async function beginHeld(name: string, init: RequestInit = {}): Promise<Response> {
    const before = held.held;
    const response = await gateway.chat(name, init, { stream: true, max_tokens: 100 });
    assert.equal(response.status, 200);
    assert.equal(held.held, before + 1);
    return response;
  }

  for (const [name, { path, body, streamed }] of Object.entries(TOLD)) {
    test(`${name}: the tokens that the answer tells, streamed or not`, async () => {
      await bench.serve(name, 1, name === 'embeddings' ? { type: 'text-embeddings' } : {});
      const usageBefore = await settlements('usage');
      const response = await gateway.post(path, { model: name, ...body });
      const answer = (await response.json()) as { usage: Usage };
      const { prompt_tokens, input_tokens, completion_tokens = 0, output_tokens = completion_tokens } = answer.usage;
      const told = { prompt: prompt_tokens ?? input_tokens ?? 0, completion: output_tokens };
      assert.ok(told.prompt > 0);
      await until('the record', async () => (await requests(name, '200')) === 1);
      assert.deepEqual(await tokens(name), told);
      if (streamed) {
        await (await gateway.post(path, { model: name, ...body, ...streamed })).text();
        await until('the record of the stream', async () => (await requests(name, '200')) === 2);
        assert.deepEqual(await tokens(name), { prompt: 2 * told.prompt, completion: 2 * told.completion });
      }
      assert.equal((await settlements('usage')) - usageBefore, streamed ? 2 : 1);
    });
  }

  test('a stream that tells no usage is estimated by its size', async () => {
    // An event a token, as engines send them: none so fast that it sends several at once.
    await bench.serve('silent', 1, {}, { timeScale: 1 });
    const before = await settlements('estimate');
    await (await gateway.chat('silent', {}, { stream: true, max_tokens: 100 })).text();
    await until('the record', async () => (await requests('silent', '200')) === 1);
    assert.equal((await settlements('estimate')) - before, 1);
    const { prompt, completion } = await tokens('silent');
    assert.ok(prompt > 0);
    assert.ok(completion > 50 && completion < 200, `${completion} tokens of 100`);
  });

  test('an answer that is an error took nothing', async () => {
    const [pod] = (await bench.serve('failing', 1)) as [SimPod];
    const before = await settlements('nothing');
    pod.fault({ kind: 'status', status: 400, times: 1 });
    assert.equal((await gateway.chat('failing')).status, 400);
    await until('the record', async () => (await requests('failing', '400')) === 1);
    assert.equal((await settlements('nothing')) - before, 1);
    assert.deepEqual(await tokens('failing'), { prompt: 0, completion: 0 });
  });

  test('a client that goes away, before an answer and in the middle of one', async () => {
    const [pod] = (await bench.serve('left', 1)) as [SimPod];
    pod.fault({ kind: 'stall', times: 1 });
    const leaving = new AbortController();
    const waiting = gateway.chat('left', { signal: leaving.signal });
    await until('the request at the pod', () => pod.requests.length === 1);
    assert.equal(await gateway.metric('fairlead_in_flight{model="left"}'), 1);
    leaving.abort();
    await assert.rejects(waiting);
    await until('the record', async () => (await requests('left', 'client_closed_request')) === 1);
    assert.equal(await gateway.metric('fairlead_in_flight{model="left"}'), 0);
    pod.fault({ kind: 'stall', afterTokens: 5, times: 1 });
    const midway = new AbortController();
    const response = await gateway.chat('left', { signal: midway.signal }, { stream: true, max_tokens: 100 });
    const reader = response.body?.getReader();
    await reader?.read();
    midway.abort();
    await until('the second record', async () => (await requests('left', 'client_closed_request')) === 2);
    assert.equal(await gateway.metric('fairlead_in_flight{model="left"}'), 0);
    await until('the pod to be told', () => pod.requests.every(({ outcome }) => outcome === 'cut'));
    assert.deepEqual((await bench.endpoint('left', pod)).failures, [], 'it is nobody’s failure');
    assert.ok((await tokens('left')).completion > 0, 'what was said was paid for');
  });

  test('in flight from the pick to the end, by pod, over all models on it and through any change', async () => {
    const [pod] = (await bench.start('shared', 1)) as [SimPod];
    const both = (backend: object) => [
      model('one', [held.endpoint, pod.endpoint], { backend }),
      model('other', [held.endpoint], { backend }),
    ];
    const inFlight = async (name: string) =>
      (await gateway.explain(name)).endpoints.find(({ address }) => address === held.endpoint)?.inFlight;
    gateway.write('shared.yaml', both({}));
    await gateway.untilServed('one', 2);
    const streams = [await beginHeld('other'), await beginHeld('other')];
    assert.equal(await inFlight('other'), 2);
    assert.equal(await inFlight('one'), 2, 'the other model sees it, too');
    assert.equal(await gateway.metric('fairlead_in_flight{model="other"}'), 2);
    gateway.write('shared.yaml', both({ name: 'renamed' }));
    await until('the change', async () => (await gateway.explain('other')).endpoints[0]?.backend === 'renamed');
    assert.equal(await inFlight('other'), 2);
    held.finish();
    for (const stream of streams) assert.ok((await stream.text()).endsWith('[DONE]\n\n'));
    await until('the end of both', async () => (await inFlight('other')) === 0);
    assert.equal(await gateway.metric('fairlead_in_flight{model="other"}'), 0);
  });

  test('while a retry runs, the request is in flight where it is', async () => {
    const [failing] = (await bench.start('moving', 1)) as [SimPod];
    failing.fault({ kind: 'status', status: 429 });
    const routing = { strategy: 'round-robin' };
    gateway.write('moving.yaml', [model('moving', [failing.endpoint, held.endpoint], { routing })]);
    await gateway.untilServed('moving', 2);
    const streams = [await beginHeld('moving'), await beginHeld('moving')];
    assert.equal(failing.requests.length, 1, 'one of them came here first');
    const flights = async () => (await gateway.explain('moving')).endpoints.map(({ inFlight }) => inFlight);
    await until('the reservation to move', async () => (await flights())[0] === 0);
    assert.deepEqual(await flights(), [0, 2]);
    streams.push(await beginHeld('moving'));
    const decisions = await bench.decisions('moving', 3);
    assert.deepEqual(
      decisions.at(-1)?.candidates.map(({ inFlight }) => inFlight),
      [0, 2],
    );
    held.finish();
    await Promise.all(streams.map(stream => stream.text()));
    await until('the end', async () => (await flights()).every(count => count === 0));
  });

  test('throughput moves traffic off the pod that got the long answer', async () => {
    await bench.serve('busy', 2, { routing: { strategy: 'throughput' } });
    const long = await bench.ask('busy', { max_tokens: 400 });
    assert.equal(long.status, 200);
    await until('the record', async () => (await tokens('busy')).completion === 400);
    const short = await bench.askTimes('busy', 20);
    assert.ok(
      short.every(({ chosen }) => chosen[0] !== long.chosen[0]),
      'the other one is ahead by far',
    );
    await until('all records', async () => (await requests('busy', '200')) === 21);
    const decisions = await bench.decisions('busy', 21);
    for (const { candidates, chosen } of decisions) {
      const scores = candidates.map(({ score }) => score ?? Number.NaN);
      const first = candidates.find(({ endpoint }) => endpoint === chosen[0]);
      assert.equal(first?.score, Math.min(...scores), 'always the one with the fewest tokens');
    }
    const score = decisions.at(-1)?.candidates.find(({ endpoint }) => endpoint === long.chosen[0])?.score;
    assert.ok((score ?? 0) >= 400, `${score} tokens of the long answer`);
  });

  test('what Envoy can tell nobody any more is settled by forecast', async () => {
    gateway.write('lost.yaml', [model('lost', [held.endpoint])]);
    await gateway.untilServed('lost', 1);
    const stream = (await beginHeld('lost')).text();
    process.kill(gateway.children().envoy, 'SIGKILL');
    await assert.rejects(stream);
    await until('the settlement', async () => (await settlements('no_record')) === 1);
    assert.equal(await requests('lost', 'no_record'), 1);
    const { prompt, completion } = await tokens('lost');
    assert.equal(completion, 100);
    assert.ok(prompt > 0);
    await bench.untilNothingInFlight();
  });
});
