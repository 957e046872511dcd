import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { assertOpenAiError, send } from './harness/answer.ts';
import { Fleet, LLAMA } from './harness/fleet.ts';
import { until } from './harness/until.ts';

const POST = 'POST /v1/chat/completions';
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

function chat(model: string) {
  return { model, messages: [{ role: 'user', content: 'Hi' }], max_tokens: 2 };
}

suite('headers of an answer', () => {
  let fleet: Fleet;
  let url: string;
  before(async () => {
    fleet = await Fleet.start();
    url = fleet.gateway.url;
  });
  after(() => fleet?.close());

  test('say model, backend and endpoint, by name and not by address', async () => {
    for (const [asked, id] of [
      ['llama', LLAMA],
      ['public-name', 'public-name'],
    ] as const) {
      const { headers } = await send(url, POST, { body: chat(asked) });
      assert.equal(headers.get('x-fairlead-model'), id);
      assert.equal(headers.get('x-fairlead-backend'), 'pods');
      assert.equal(headers.get('x-fairlead-endpoint'), 'pods-0');
      const text = JSON.stringify([...headers]);
      assert.ok(!text.includes(`:${fleet.chat.port}`) && !text.includes('127.0.0.1'), text);
    }
  });

  test('are written to streams and to the pod’s own errors as well', async () => {
    const stream = await send(url, POST, { body: { ...chat('llama'), stream: true } });
    assert.equal(stream.headers.get('content-type'), 'text/event-stream; charset=utf-8');
    const wrong = await send(url, POST, { body: { model: 'llama', messages: [] } });
    assert.equal(wrong.status, 400);
    assert.match(wrong.body, /messages must be a list/, 'an upstream error passes as it is');
    for (const { headers } of [stream, wrong]) {
      assert.equal(headers.get('x-fairlead-model'), LLAMA);
      assert.equal(headers.get('x-fairlead-endpoint'), 'pods-0');
      assert.match(headers.get('x-request-id') ?? '', UUID);
    }
  });

  test('have a request id on answers and errors alike, the client’s own where it sent one', async () => {
    const lines: [string, unknown?][] = [
      [POST, chat('llama')],
      [POST, chat('nope')],
      [POST, chat('nobody')],
      [POST, '{'],
      ['GET /v1/models'],
      ['GET /nowhere'],
      ['GET /livez'],
    ];
    const seen = new Set<string>();
    for (const [line, body] of lines) {
      const given = await send(url, line, { headers: { 'x-request-id': 'my-id.7' }, body });
      assert.equal(given.headers.get('x-request-id'), 'my-id.7', line);
      const made = (await send(url, line, { body })).headers.get('x-request-id') ?? '';
      assert.match(made, UUID, line);
      seen.add(made);
    }
    assert.equal(seen.size, lines.length, 'no id twice');
  });

  test('the pod gets the id that the client is told', async () => {
    const { headers } = await send(url, POST, { body: chat('llama') });
    assert.deepEqual(fleet.chat.requests.at(-1)?.headers['x-request-id'], [headers.get('x-request-id')]);
  });

  test('of a request that was refused name its model at most', async () => {
    const cases: [body: unknown, headers: [string, string][]][] = [
      [chat('nope'), []],
      ['{', []],
      [{ ...chat('llama'), max_tokens: 100_000 }, [['x-fairlead-model', LLAMA]]],
    ];
    for (const [body, expected] of cases) {
      const { headers, status } = await send(url, POST, { headers: { 'x-fairlead-explain': '1' }, body });
      assert.ok(status === 400 || status === 404);
      assert.deepEqual(
        [...headers].filter(([name]) => name.startsWith('x-fairlead-')),
        expected,
      );
    }
  });

  test('an endpoint that cannot be reached is 503 with retry-after', async () => {
    const answer = await send(url, POST, { body: chat('nobody') });
    assertOpenAiError(answer, {
      status: 503,
      code: 'no_ready_endpoints',
      type: 'overloaded_error',
      message: /Try again shortly\.$/,
      retryAfter: 1,
    });
  });

  test('x-fairlead-explain: how the endpoint was chosen, only where asked for by 1', async () => {
    const asked = await send(url, POST, { headers: { 'x-fairlead-explain': '1' }, body: chat('llama') });
    assert.deepEqual(JSON.parse(asked.headers.get('x-fairlead-explain') ?? ''), {
      strategy: 'least-request',
      chosen: ['pods-0'],
      candidates: [{ endpoint: 'pods-0', backend: 'pods', priority: 0, inFlight: 0, score: 0 }],
      limits: [],
    });
    for (const value of ['0', 'true', '']) {
      const other = await send(url, POST, { headers: { 'x-fairlead-explain': value }, body: chat('llama') });
      assert.equal(other.headers.get('x-fairlead-explain'), null);
    }
    assert.equal((await send(url, POST, { body: chat('llama') })).headers.get('x-fairlead-explain'), null);
  });

  test('routing-strategy chooses the strategy, in both spellings', async () => {
    const names = {
      random: 'random',
      shuffle: 'shuffle',
      'round-robin': 'round-robin',
      round_robin: 'round-robin',
      'least-request': 'least-request',
      least_request: 'least-request',
      throughput: 'throughput',
      '': 'least-request',
    };
    for (const [asked, strategy] of Object.entries(names)) {
      const headers = { 'x-fairlead-explain': '1', 'routing-strategy': asked };
      const answer = await send(url, POST, { headers, body: chat('llama') });
      assert.equal(JSON.parse(answer.headers.get('x-fairlead-explain') ?? '').strategy, strategy, asked);
    }
  });

  test('an unknown strategy is refused, naming those that there are; where clients may not choose, it is ignored', async () => {
    const headers = { 'x-fairlead-explain': '1', 'routing-strategy': 'fastest' };
    assertOpenAiError(await send(url, POST, { headers, body: chat('llama') }), {
      status: 400,
      code: 'unknown_strategy',
      param: 'routing-strategy',
      message:
        'The routing-strategy header names no known strategy. There are: random, shuffle, round-robin, least-request, throughput.',
    });
    for (const strategy of ['fastest', 'shuffle']) {
      const answer = await send(url, POST, {
        headers: { ...headers, 'routing-strategy': strategy },
        body: chat('public-name'),
      });
      assert.equal(JSON.parse(answer.headers.get('x-fairlead-explain') ?? '').strategy, 'random');
    }
  });

  test('where the gateway does not allow it, nothing is explained', async () => {
    const { gateway } = fleet;
    const listeners = [{ name: 'http', port: gateway.port }];
    gateway.write('gateway.yaml', [
      {
        apiVersion: 'fairlead.dev/v1alpha1',
        kind: 'InferenceGateway',
        metadata: { name: 'default' },
        spec: { listeners, admin: { port: gateway.adminPort }, explain: { allow: false } },
      },
    ]);
    const explained = async () =>
      (await send(url, POST, { headers: { 'x-fairlead-explain': '1' }, body: chat('llama') })).headers;
    const headers = await until('answers without explanation', async () => {
      const seen = await explained();
      return seen.get('x-fairlead-explain') === null && seen;
    });
    assert.equal(headers.get('x-fairlead-endpoint'), 'pods-0');
  });
});
