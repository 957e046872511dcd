import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { type Answer, send } from './harness/answer.ts';
import { Fleet, LLAMA } from './harness/fleet.ts';
import { until } from './harness/until.ts';

const CHAT = 'POST /v1/chat/completions';
const MESSAGES = [{ role: 'user', content: 'Hello, world' }];
const chat = (more: object = {}) => ({ model: 'llama', messages: MESSAGES, max_tokens: 5, ...more });
/** What is left empty where no pod was picked. */
const NO_PICK = { backend: null, pod: null, runtime: null, strategy: null, id: null, attempts: 0 };
const PICKED = { backend: 'pods', pod: 'pods-0', runtime: 'vllm', attempts: 1 };

interface Case {
  readonly what: string;
  readonly line: string;
  readonly body?: unknown;
  readonly headers?: Record<string, string>;
  /** Fields of its line in the access log. */
  readonly expected: Readonly<Record<string, unknown>>;
  /** Labels of the requests' counter. */
  readonly labels: string;
}

const CASES: readonly Case[] = [
  {
    what: 'chat',
    line: CHAT,
    body: chat(),
    expected: {
      ...PICKED,
      model: LLAMA,
      method: 'POST',
      path: '/v1/chat/completions',
      protocol: 'HTTP/1.1',
      strategy: 'least-request',
      code: 200,
      details: 'via_upstream',
      flags: '-',
      input_tokens: 3,
      output_tokens: 5,
    },
    labels: `model="${LLAMA}",backend="pods",code="200"`,
  },
  {
    what: 'a stream, which tells its usage at the end, by path and with a query',
    line: 'POST /v1/chat/llama?secret=1',
    body: { ...chat({ stream: true, stream_options: { include_usage: true } }), model: undefined },
    headers: { 'routing-strategy': 'round_robin' },
    expected: {
      ...PICKED,
      model: LLAMA,
      path: '/v1/chat/completions',
      strategy: 'round-robin',
      code: 200,
      input_tokens: 3,
      output_tokens: 5,
    },
    labels: `model="${LLAMA}",backend="pods",code="200"`,
  },
  {
    what: 'embeddings',
    line: 'POST /v1/embeddings',
    body: { model: 'BAAI/bge-m3', input: 'Hello, world' },
    expected: { ...PICKED, model: 'BAAI/bge-m3', path: '/v1/embeddings', code: 200, input_tokens: 3 },
    labels: 'model="BAAI/bge-m3",backend="pods",code="200"',
  },
  {
    what: 'a message',
    line: 'POST /v1/messages',
    body: chat(),
    expected: { ...PICKED, model: LLAMA, path: '/v1/messages', code: 200, input_tokens: 3, output_tokens: 5 },
    labels: `model="${LLAMA}",backend="pods",code="200"`,
  },
  {
    what: 'an error of the pod’s own',
    line: CHAT,
    body: chat({ messages: [] }),
    expected: { ...PICKED, model: LLAMA, code: 400, details: 'via_upstream', input_tokens: null },
    labels: `model="${LLAMA}",backend="pods",code="400"`,
  },
  {
    what: 'an unknown model, whose name is nobody’s label',
    line: CHAT,
    body: chat({ model: 'gpt-5' }),
    expected: { ...NO_PICK, model: null, code: 404, details: 'fairlead_model_not_found' },
    labels: 'model="",backend="",code="model_not_found"',
  },
  {
    what: 'a refusal of a known model',
    line: 'POST /v1/embeddings/llama',
    body: {},
    expected: { ...NO_PICK, model: LLAMA, code: 400, details: 'fairlead_unsupported_endpoint' },
    labels: `model="${LLAMA}",backend="",code="unsupported_endpoint"`,
  },
  {
    what: 'an endpoint that nobody is at',
    line: CHAT,
    body: chat({ model: 'nobody' }),
    expected: { ...PICKED, model: 'nobody', code: 503, input_tokens: null },
    labels: 'model="nobody",backend="pods",code="no_ready_endpoints"',
  },
  {
    what: 'an answer of the gateway’s own',
    line: 'GET /v1/models',
    expected: { ...NO_PICK, model: null, method: 'GET', path: '/v1/models', code: 200, details: 'fairlead_answered' },
    labels: 'model="",backend="",code="200"',
  },
];

suite('every exchange has one line in the access log and one count in the metrics', () => {
  let fleet: Fleet;
  before(async () => {
    fleet = await Fleet.start();
  });
  after(() => fleet?.close());

  const lineOf = (answer: Answer) => {
    const id = answer.headers.get('x-request-id');
    return until(`the line of ${id}`, () => fleet.gateway.accessLog().find(({ request_id }) => request_id === id));
  };
  // Lines come once a second, so all cases wait for theirs together.
  suite('at the same time', { concurrency: true }, () => {
    for (const { what, line, body, headers = {}, expected } of CASES) {
      test(what, async () => {
        const answer = await send(fleet.gateway.url, line, { headers, body });
        const entry = await lineOf(answer);
        assert.deepEqual(Object.fromEntries(Object.keys(expected).map(key => [key, entry[key]])), expected);
        assert.equal(entry.code, answer.status);
        assert.equal(entry.response_bytes, Buffer.byteLength(answer.body));
        assert.ok(!Number.isNaN(Date.parse(String(entry.time))) && typeof entry.duration_ms === 'number');
        assert.ok(!JSON.stringify(entry).includes('secret'), 'the query is nobody’s business');
      });
    }
  });

  test('the metrics count each under its model, backend and code', async () => {
    for (const { labels } of CASES) {
      const expected = CASES.filter(other => other.labels === labels).length;
      await until(`${expected} of ${labels}`, async () => {
        return (await fleet.gateway.metric(`fairlead_requests_total{${labels}}`)) === expected;
      });
    }
  });

  test('the id of an exchange is the one that the pod was told', async () => {
    const answer = await send(fleet.gateway.url, CHAT, { body: chat() });
    const { headers } = fleet.chat.requests.at(-1) ?? assert.fail();
    assert.deepEqual(headers['x-fairlead-id'], [(await lineOf(answer)).id]);
  });

  test('tokens are counted by model', async () => {
    const tokens = (kind: string) => fleet.gateway.metric(`fairlead_tokens_total{model="public-name",kind="${kind}"}`);
    await send(fleet.gateway.url, CHAT, { body: chat({ model: 'public-name', max_tokens: 7 }) });
    await until('the tokens', async () => (await tokens('prompt')) === 3 && (await tokens('completion')) === 7);
  });

  test('no line comes twice', () => {
    const ids = fleet.gateway.accessLog().map(({ request_id }) => request_id);
    assert.equal(new Set(ids).size, ids.length);
  });
});
