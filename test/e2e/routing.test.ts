import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, suite, test } from 'node:test';
import type { SimPod } from '../../sim/pod.ts';
import type { RecordedRequest } from '../../sim/recorder.ts';
import { type Answer, send } from './harness/answer.ts';
import { Fleet, LLAMA, UPSTREAM_NAME } from './harness/fleet.ts';

const CHAT = '/v1/chat/completions';
/** The members of a chat request but for the model. */
const REST = '"messages":[{"role":"user","content":"Hi"}],"max_tokens":2}';
const NAMED = `{"model":${JSON.stringify(LLAMA)},${REST}`;

suite('a request reaches the model that it names, as it was written', () => {
  let fleet: Fleet;
  before(async () => {
    fleet = await Fleet.start();
  });
  after(() => fleet?.close());

  /** What the request was answered, and what of it reached the pod. */
  async function through(
    pod: SimPod,
    line: string,
    request: { headers?: Record<string, string>; body: string | Buffer },
  ): Promise<{ answer: Answer; received: RecordedRequest }> {
    const before = pod.requests.length;
    const answer = await send(fleet.gateway.url, line, request);
    assert.equal(answer.status, 200, answer.body);
    assert.equal(pod.requests.length, before + 1);
    const received = pod.requests.at(-1) ?? assert.fail();
    assert.deepEqual(received.headers['content-length'], [String(received.bodyBytes)]);
    return { answer, received };
  }

  const WAYS: readonly [line: string, headers: Record<string, string>, body: string, path?: string][] = [
    [`POST ${CHAT}`, {}, NAMED],
    [`POST ${CHAT}`, {}, `{"model":"llama",${REST}`],
    [`POST ${CHAT}`, {}, `{"model":"team/llama",${REST}`],
    [`POST ${CHAT}`, {}, `{"model":"lama été",${REST}`],
    [`POST ${CHAT}`, {}, `{"model":"lama \\u00e9t\\u00E9",${REST}`],
    [`POST ${CHAT}`, {}, `{"model":"${LLAMA}@2",${REST}`],
    [`POST ${CHAT}`, {}, `{"model":"llama@2",${REST}`],
    [`POST ${CHAT}`, { 'x-model': LLAMA }, `{${REST}`],
    [`POST ${CHAT}`, { model: 'llama' }, `{${REST}`],
    [`POST ${CHAT}`, { model: 'llama@2', 'x-model': LLAMA }, `{"model":"team/llama",${REST}`],
    [`POST ${CHAT}/${LLAMA}`, {}, `{${REST}`],
    [`POST ${CHAT}/llama`, { 'x-model': 'team/llama' }, `{${REST}`],
    [`POST /v1/chat/${LLAMA}`, {}, `{${REST}`],
    [`POST /v1/chat/${encodeURIComponent(LLAMA)}`, {}, `{${REST}`],
    [`POST /v1/chat/${encodeURIComponent('lama été')}`, {}, `{${REST}`],
    [`POST /v1/chat/llama@2`, {}, `{${REST}`],
    [`POST /v1/chat/llama%402`, {}, `{"model":"llama",${REST}`],
    [`POST //v1//chat/./completions`, {}, NAMED],
    [`POST ${CHAT}?beta=true&x=%2F%20`, {}, NAMED, `${CHAT}?beta=true&x=%2F%20`],
    [`POST ${CHAT}/llama?a=1&version=1&b=2`, {}, `{${REST}`, `${CHAT}?a=1&b=2`],
  ];

  for (const [line, headers, body, path = CHAT] of WAYS) {
    test(`${line} ${JSON.stringify(headers)} ${body.slice(0, 30)}`, async () => {
      const { received, answer } = await through(fleet.chat, line, { headers, body });
      assert.equal(received.path, path);
      assert.equal(received.body?.toString(), NAMED, 'the model is called what its pods call it');
      assert.equal(answer.headers.get('x-fairlead-model'), LLAMA);
    });
  }

  const ENDPOINTS: readonly [path: string, short: string | undefined, pod: 'chat' | 'embeddings', body: string][] = [
    [CHAT, '/v1/chat', 'chat', REST],
    ['/v1/completions', '/v1/completion', 'chat', '"prompt":"Hi","max_tokens":2}'],
    ['/v1/responses', undefined, 'chat', '"input":"Hi","max_output_tokens":16}'],
    ['/v1/messages', undefined, 'chat', REST],
    ['/v1/embeddings', '/v1/embedding', 'embeddings', '"input":["Hi"]}'],
  ];
  for (const [path, short, pod, rest] of ENDPOINTS) {
    test(`${path}: named by body, by path${short ? ' and by the short form' : ''}`, async () => {
      const id = pod === 'chat' ? LLAMA : 'BAAI/bge-m3';
      const named = `{"model":${JSON.stringify(id)},${rest}`;
      const paths = [`${path}/${id}`, ...(short ? [`${short}/${id}`, `${short}/${encodeURIComponent(id)}`] : [])];
      const requests: [string, string][] = [
        [path, named],
        ...paths.map(each => [each, `{${rest}`] as [string, string]),
      ];
      for (const [asked, body] of requests) {
        const { received } = await through(fleet[pod], `POST ${asked}`, { body });
        assert.equal(received.path, path);
        assert.equal(received.body?.toString(), named);
      }
    });
  }

  /** Bodies by what is special in them, around the place where the name stands. */
  const BODIES: readonly [what: string, before: string, name: string, after: string][] = [
    [
      'big numbers, its own order, white space, escapes, models further down',
      '\r\n {\t"z":123456789012345678901234567890, "temperature" : 1.10e-0,"a":{"model":"public-name"},"model" : ',
      '"public-name"',
      '\n,"messages":[ {"content":"\\u00e9 é 😀 \\/ \\ud83d\\ude00","role":"user","model":"public-name"}],"max_tokens":2 , "b":"\\"model\\":\\"public-name\\"" }\n\n',
    ],
    ['its key escaped', '{"mod\\u0065l":', '"public-name"', `,${REST}`],
    ['its name escaped', '{"model":', '"public\\u002dname"', `,${REST}`],
    [
      'its model at the end',
      '{"messages":[{"role":"user","content":"Hi"}],"max_tokens":2,"model":',
      '"public-name"',
      '}',
    ],
    ['other members twice', '{"max_tokens":5,"model":', '"public-name"', `,"temperature":1,"temperature":0,${REST}`],
  ];
  for (const [what, before, name, after] of BODIES) {
    test(`a body with ${what} changes only where it names the model`, async () => {
      const { received } = await through(fleet.chat, `POST ${CHAT}`, { body: before + name + after });
      assert.equal(received.body?.toString(), before + JSON.stringify(UPSTREAM_NAME) + after);
    });
  }

  test('a model that its pods call the same, and a body that names none but may: inserted at the front', async () => {
    const spaced = `  {  ${REST}`;
    const { received } = await through(fleet.chat, `POST ${CHAT}`, {
      body: spaced,
      headers: { 'x-model': 'public-name' },
    });
    assert.equal(received.body?.toString(), `  {"model":${JSON.stringify(UPSTREAM_NAME)},  ${REST}`);
    const unchanged = ` {"n":1, "model":"${LLAMA}" ,${REST} `;
    assert.equal((await through(fleet.chat, `POST ${CHAT}`, { body: unchanged })).received.body?.toString(), unchanged);
  });

  test('a body of 8 MB arrives whole under its new name', async () => {
    const text = (name: string) => `{"ignored":"${'é'.repeat(4_000_000)}","model":${JSON.stringify(name)},${REST}`;
    const { received } = await through(fleet.chat, `POST ${CHAT}`, { body: text('public-name') });
    assert.equal(received.bodySha256, createHash('sha256').update(text(UPSTREAM_NAME)).digest('hex'));
  });

  const TYPES: readonly [sent: string, received: string][] = [
    ['application/json', 'application/json'],
    ['application/json; charset=utf-8', 'application/json; charset=utf-8'],
    ['application/x-www-form-urlencoded', 'application/json'],
    ['text/plain;charset=UTF-8', 'application/json'],
    ['application/vnd.api+json', 'application/json'],
    ['', 'application/json'],
  ];
  for (const [sent, expected] of TYPES) {
    test(`JSON under content-type "${sent}" is JSON to the pod`, async () => {
      const { received } = await through(fleet.chat, `POST ${CHAT}`, {
        headers: { 'content-type': sent },
        body: NAMED,
      });
      assert.deepEqual(received.headers['content-type'], [expected]);
    });
  }
});
