import assert from 'node:assert/strict';
import { request } from 'node:http';
import { after, before, suite, test } from 'node:test';
import { type Answer, assertAnthropicError, assertOpenAiError, type ExpectedError, send } from './harness/answer.ts';
import { Fleet, LLAMA } from './harness/fleet.ts';
import { until } from './harness/until.ts';

const CHAT = 'POST /v1/chat/completions';
const REST = '"messages":[{"role":"user","content":"Hi"}],"max_tokens":2}';
const NAMED = `{"model":"llama",${REST}`;
/** spec.maxBodyBytes, when nobody sets it. */
const MAX_BODY_BYTES = 33_554_432;

const invalidJson = (message: string | RegExp) => ({ status: 400, code: 'invalid_json', message });
const badModel = (message: string | RegExp) => ({ status: 400, code: 'invalid_parameter', param: 'model', message });
const badValue = (param: string, message: string) => ({ status: 400, code: 'invalid_parameter', param, message });
const mismatch = (message: string | RegExp) => ({ status: 400, code: 'model_mismatch', param: 'model', message });
const notFound = (name: string) => ({
  status: 404,
  code: 'model_not_found',
  param: 'model',
  message: `Model not found: ${name}`,
});
const wrongType = (message: string) => ({ status: 400, code: 'unsupported_endpoint', param: 'model', message });
const wrongMedia = (message: RegExp) => ({ status: 415, code: 'unsupported_media_type', message });
const differ = (one: string, other: string) =>
  mismatch(
    `The request names two different models, "${one}" and "${other}". Name one, in the path, the x-model header or the body.`,
  );

const NOT_AN_OBJECT = invalidJson(
  'The request body is not a JSON object. Send one, with content-type: application/json.',
);
const EMPTY = invalidJson(/^The request body is empty\. Send /);
const TOO_LONG = badModel("The model's name is longer than 256 bytes. GET /v1/models lists those that exist.");
const NOT_A_STRING = badModel("The model's name must be a string.");
const CONTROL = badModel("The model's name has control characters. Send it without them.");
const TWICE = mismatch('The body has "model" twice. Name the model once.');

/** Bodies that say the same to every endpoint that takes JSON. */
const BODIES: Readonly<Record<string, readonly [body: string | Buffer, error: ExpectedError]>> = {
  'no JSON': ['hello', NOT_AN_OBJECT],
  'a form': ['model=llama&prompt=Hi', NOT_AN_OBJECT],
  'a list': [`[${NAMED}]`, NOT_AN_OBJECT],
  'a string': ['"llama"', NOT_AN_OBJECT],
  null: ['null', NOT_AN_OBJECT],
  nothing: ['', EMPTY],
  'only white space': [' \r\n\t ', EMPTY],
  'JSON that is cut off': [NAMED.slice(0, 30), invalidJson(/is not JSON, or is cut off, at byte \d+\. Send one/)],
  'JSON with a comma too much': [`{"model":"llama",}`, invalidJson(/is not JSON, or is cut off, at byte 17\./)],
  'JSON that goes on': [`${NAMED} {}`, invalidJson(/goes on after its JSON object, at byte 77\. Send one object\.$/)],
  'JSON that is not UTF-8': [Buffer.from('{"model":"lam\xe9"}', 'latin1'), invalidJson(/is not UTF-8\./)],
  'JSON of 100,000 levels': [
    `{"model":"llama","a":${'['.repeat(1e5)}`,
    invalidJson(/is nested deeper than \d+ levels\.$/),
  ],
  'no model': [
    `{${REST}`,
    { status: 400, code: 'missing_model', param: 'model', message: /^No model is named\. Set / },
  ],
  'a number for a model': [`{"model":5,${REST}`, NOT_A_STRING],
  'null for a model': [`{"model":null,${REST}`, NOT_A_STRING],
  'a list for a model': [`{"model":["llama"],${REST}`, NOT_A_STRING],
  'an empty model': [`{"model":"",${REST}`, badModel(/^The model's name is empty\./)],
  'a model of 257 bytes': [`{"model":"${'m'.repeat(257)}",${REST}`, TOO_LONG],
  'a model of 1 MB': [`{"model":"${'m'.repeat(1_048_576)}",${REST}`, TOO_LONG],
  'a model of 1 MB, escaped': [`{"model":"${'\\u006d'.repeat(174_763)}",${REST}`, TOO_LONG],
  'a model with an escaped control character': [`{"model":"lla\\u0000ma",${REST}`, CONTROL],
  'a model that turns the line around': [`{"model":"lla\u202ema",${REST}`, CONTROL],
  'a model with a line break': [`{"model":"llama\\nx",${REST}`, CONTROL],
  'a model with a raw line break': [`{"model":"llama\n",${REST}`, CONTROL],
  'the model twice': [`{"model":"llama","model":"llama",${REST}`, TWICE],
  'two models': [`{"model":"llama",${REST.slice(0, -1)},"mod\\u0065l":"public-name"}`, TWICE],
  'Model with a capital': [`{"Model":"llama",${REST}`, badModel('Write the key "model" in lower case, once.')],
  'an unknown model': [`{"model":"gpt-5",${REST}`, notFound('gpt-5')],
  'an unknown version': [`{"model":"llama@3",${REST}`, notFound('llama@3')],
  'a stream that is no boolean': [
    `{"stream":"yes",${NAMED.slice(1)}`,
    badValue('stream', '"stream" must be true or false.'),
  ],
  'a negative limit': [
    `{"model":"llama","max_tokens":-1}`,
    badValue('max_tokens', '"max_tokens" must be a whole number of tokens, 0 or more.'),
  ],
  'more tokens than the context': [
    `{"model":"llama","max_tokens":8193}`,
    { status: 400, code: 'context_length_exceeded', param: 'max_tokens', message: /context is 8192 tokens.*8193 were/ },
  ],
};

/** Anthropic's word for what is wrong, where it is not invalid_request_error. */
const ANTHROPIC_TYPES: Readonly<Record<number, string>> = { 404: 'not_found_error', 413: 'request_too_large' };

type Headed = readonly [
  what: string,
  line: string,
  headers: Record<string, string>,
  body: string,
  error: ExpectedError,
];

const HEADED: readonly Headed[] = [
  ['header and body', CHAT, { 'x-model': 'public-name' }, NAMED, differ('public-name', 'llama')],
  ['header and body, one unknown', CHAT, { model: 'llama' }, `{"model":"x",${REST}`, differ('llama', 'x')],
  ['two headers', CHAT, { 'x-model': 'llama', model: 'public-name' }, `{${REST}`, differ('llama', 'public-name')],
  ['path and body', `${CHAT}/public-name`, {}, NAMED, differ('public-name', 'llama')],
  ['path and header', 'POST /v1/chat/public-name', { model: 'llama' }, `{${REST}`, differ('public-name', 'llama')],
  ['an unknown model in a header', CHAT, { 'x-model': 'gpt-5' }, `{${REST}`, notFound('gpt-5')],
  ['an unknown model in the path', `${CHAT}/org/gpt-5`, {}, `{${REST}`, notFound('org/gpt-5')],
  ['a long model in a header', CHAT, { 'x-model': 'm'.repeat(10_000) }, `{${REST}`, TOO_LONG],
  ['a long model in the path', `POST /v1/chat/${'m'.repeat(10_000)}`, {}, `{${REST}`, TOO_LONG],
  ['a control character in the path', 'POST /v1/chat/lla%1Bma', {}, `{${REST}`, CONTROL],
  ['a wrong escape in the path', 'POST /v1/chat/lla%FFma', {}, `{${REST}`, badModel(/is not percent-encoded UTF-8/)],
  [
    'a chat model asked for embeddings',
    'POST /v1/embeddings',
    {},
    '{"model":"llama","input":"Hi"}',
    wrongType(
      '/v1/embeddings does not serve models of type text-generation. ' +
        'Send it to /v1/chat/completions or /v1/completions or /v1/responses or /v1/messages.',
    ),
  ],
  [
    'an embedding model asked to chat',
    `${CHAT}/BAAI/bge-m3`,
    {},
    `{${REST}`,
    wrongType('/v1/chat/completions does not serve models of type text-embeddings. Send it to /v1/embeddings.'),
  ],
  ['XML', CHAT, { 'content-type': 'text/xml' }, NAMED, wrongMedia(/Send it with content-type: application\/json\.$/)],
  ['another charset', CHAT, { 'content-type': 'application/json; charset=utf-16' }, NAMED, wrongMedia(/charset/)],
  ['a compressed body', CHAT, { 'content-encoding': 'gzip' }, NAMED, wrongMedia(/^Compressed request bodies are not/)],
];

suite('bad input is refused by the table of errors and reaches no pod', () => {
  let fleet: Fleet;
  let url: string;
  /** Answers of each code that this suite has seen. */
  const seen = new Map<string, number>();

  before(async () => {
    fleet = await Fleet.start();
    url = fleet.gateway.url;
  });
  after(() => fleet?.close());

  /** Refused in a few words, without a pod being asked; and the next one is served. */
  async function refused(ask: () => Promise<Answer>, error: ExpectedError): Promise<Answer> {
    const before = fleet.requestCount;
    const answer = await ask();
    assert.ok(answer.body.length < 700, `${answer.body.length} bytes of error`);
    assert.equal(fleet.requestCount, before, 'no pod is asked');
    assert.equal((await send(url, CHAT, { body: NAMED })).status, 200, 'the next is served');
    seen.set(error.code, (seen.get(error.code) ?? 0) + 1);
    return answer;
  }

  for (const [what, [body, error]] of Object.entries(BODIES)) {
    test(`${what}: ${error.status} ${error.code}`, async () => {
      assertOpenAiError(await refused(() => send(url, CHAT, { body }), error), error);
      const anthropic = { ...error, type: ANTHROPIC_TYPES[error.status] ?? 'invalid_request_error' };
      assertAnthropicError(await refused(() => send(url, 'POST /v1/messages', { body }), error), anthropic);
    });
  }

  for (const [what, line, headers, body, error] of HEADED) {
    test(`${what}: ${error.status} ${error.code}`, async () => {
      assertOpenAiError(await refused(() => send(url, line, { headers, body }), error), error);
    });
  }

  test('no body at all, and one of no chunks: 400 invalid_json', async () => {
    assertOpenAiError(await refused(() => send(url, CHAT), EMPTY), EMPTY);
    assertOpenAiError(await refused(() => post(chunked, []), EMPTY), EMPTY);
  });

  test('a model header that comes twice: one name is enough, two are a mismatch', async () => {
    const twice = (other: string) => post({ 'x-model': ['llama', other] }, [`{${REST}`]);
    assert.equal((await twice('llama')).status, 200);
    assert.equal((await twice('team/llama')).status, 200, 'another name of the same model');
    const error = differ('llama', 'public-name');
    assertOpenAiError(await refused(() => twice('public-name'), error), error);
  });

  /** A body of so many bytes, in pieces. */
  function* bodyOf(bytes: number): Generator<string> {
    const end = `","model":"llama",${REST}`;
    yield '{"ignored":"';
    let left = bytes - 12 - end.length;
    for (; left > 1_048_576; left -= 1_048_576) yield 'x'.repeat(1_048_576);
    yield 'x'.repeat(left);
    yield end;
  }

  /** A chat request piece by piece; the answer may come before it is all sent. */
  function post(headers: Record<string, string | string[]>, body: Iterable<string>): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const sent = request(`${url}/v1/chat/completions`, { method: 'POST', headers, agent: false }, response => {
        let text = '';
        response.setEncoding('utf8').on('data', chunk => {
          text += chunk;
        });
        response.once('end', () => {
          const headers = new Headers(response.headers as Record<string, string>);
          resolve({ status: response.statusCode ?? 0, headers, body: text });
        });
      });
      sent.on('error', reject);
      for (const piece of body) sent.write(piece);
      sent.end();
    });
  }

  const json = { 'content-type': 'application/json' };
  const chunked = { ...json, 'transfer-encoding': 'chunked' };
  const sized = (bytes: number) => ({ ...json, 'content-length': String(bytes) });
  const tooLarge = (bytes: number) => ({
    status: 413,
    code: 'request_too_large',
    message: `The request body has ${bytes} bytes; the gateway accepts ${MAX_BODY_BYTES}.`,
  });

  test('a body of exactly the limit passes, with content-length and chunked', async () => {
    for (const headers of [sized(MAX_BODY_BYTES), chunked]) {
      const answer = await post(headers, bodyOf(MAX_BODY_BYTES));
      assert.equal(answer.status, 200, answer.body);
      assert.equal(fleet.chat.requests.at(-1)?.bodyBytes, MAX_BODY_BYTES - 'llama'.length + LLAMA.length);
    }
  });

  test('a body of one byte more: 413 request_too_large, with content-length and chunked', async () => {
    const error = tooLarge(MAX_BODY_BYTES + 1);
    for (const headers of [sized(MAX_BODY_BYTES + 1), chunked]) {
      assertOpenAiError(await refused(() => post(headers, bodyOf(MAX_BODY_BYTES + 1)), error), error);
    }
  });

  test('a far larger one: refused by its content-length before it comes, chunked as soon as it is too much', async () => {
    const announced = tooLarge(10 * MAX_BODY_BYTES);
    assertOpenAiError(await refused(() => post(sized(10 * MAX_BODY_BYTES), ['{']), announced), announced);
    const endless = { ...tooLarge(0), message: 'The request body is larger than the gateway accepts.' };
    assertOpenAiError(await refused(() => post(chunked, bodyOf(MAX_BODY_BYTES + 3_000_000)), endless), endless);
  });

  test('the metrics count each error by its code, and nothing is left in flight', async () => {
    const { gateway } = fleet;
    const counted = (code: string, text: string) =>
      [...text.matchAll(new RegExp(`^fairlead_requests_total\\{.*code="${code}"\\} (\\d+)$`, 'gm'))].reduce(
        (sum, [, count]) => sum + Number(count),
        0,
      );
    await until(`counts of ${JSON.stringify([...seen])}`, async () => {
      const text = await gateway.metrics();
      return [...seen].every(([code, count]) => counted(code, text) === count);
    });
    assert.equal(await gateway.metric('fairlead_in_flight{model="meta-llama/Llama-3.1-8B-Instruct"}'), 0);
  });
});
