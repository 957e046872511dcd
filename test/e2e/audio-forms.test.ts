import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, suite, test } from 'node:test';
import { assertOpenAiError, send } from './harness/answer.ts';
import { Fleet } from './harness/fleet.ts';

const PATH = '/v1/audio/transcriptions';
const BOUNDARY = '----form-boundary-9';
/** Bytes like those of sound, and some that only look like the end of a part. */
const SOUND = Buffer.concat([
  randomBytes(40_000),
  Buffer.from('\r\n------form-boundary\r\n--\r\n\0'),
  randomBytes(9_000),
]);

const FILE = Buffer.concat([
  Buffer.from(
    `--${BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\nContent-Type: audio/wav\r\n\r\n`,
  ),
  SOUND,
  Buffer.from('\r\n'),
]);
const END = `--${BOUNDARY}--\r\n`;

function field(name: string, value: string): string {
  return `--${BOUNDARY}\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`;
}

function form(...parts: readonly (string | Buffer)[]): Buffer {
  return Buffer.concat([...parts, END].map(part => Buffer.from(part)));
}

suite('audio forms', () => {
  let fleet: Fleet;
  before(async () => {
    fleet = await Fleet.start();
  });
  after(() => fleet?.close());

  const post = (line: string, body: Buffer, headers: Record<string, string> = {}) =>
    send(fleet.gateway.url, line, {
      headers: { 'content-type': `multipart/form-data; boundary=${BOUNDARY}`, ...headers },
      body,
    });

  const ASKED = field('model', 'openai/whisper');
  const NAMED = field('model', 'whisper-large');
  const LANGUAGE = field('language', 'fr');

  const FORMS: readonly [
    what: string,
    line: string,
    headers: Record<string, string>,
    sent: Buffer,
    received: Buffer,
  ][] = [
    ['the model before the file', `POST ${PATH}`, {}, form(ASKED, FILE, LANGUAGE), form(NAMED, FILE, LANGUAGE)],
    ['the model behind the file', `POST ${PATH}`, {}, form(FILE, LANGUAGE, ASKED), form(FILE, LANGUAGE, NAMED)],
    ['the model in the path', `POST ${PATH}/openai/whisper`, {}, form(LANGUAGE, FILE), form(NAMED, LANGUAGE, FILE)],
    ['the model in a header', `POST ${PATH}`, { 'x-model': 'openai/whisper' }, form(FILE), form(NAMED, FILE)],
    ['a translation', 'POST /v1/audio/translations', {}, form(ASKED, FILE), form(NAMED, FILE)],
  ];
  for (const [what, line, headers, sent, received] of FORMS) {
    test(`${what}: the pod gets the form byte for byte, under its own name`, async () => {
      const answer = await post(line, sent, headers);
      assert.equal(answer.status, 200, answer.body);
      assert.equal(answer.headers.get('x-fairlead-model'), 'openai/whisper');
      const request = fleet.speech.requests.at(-1) ?? assert.fail();
      assert.ok(request.body?.equals(received));
      assert.equal(request.path, line.split(' ')[1]?.replace('/openai/whisper', ''));
      assert.deepEqual(request.headers['content-type'], [`multipart/form-data; boundary=${BOUNDARY}`]);
      assert.deepEqual(request.headers['content-length'], [String(received.length)]);
    });
  }

  const WRONG: readonly [
    what: string,
    body: Buffer,
    type: string | undefined,
    error: Parameters<typeof assertOpenAiError>[1],
  ][] = [
    [
      'no model',
      form(FILE),
      undefined,
      { status: 400, code: 'missing_model', param: 'model', message: /^No model is named\. Set "model"/ },
    ],
    [
      'the model twice',
      form(ASKED, FILE, ASKED),
      undefined,
      {
        status: 400,
        code: 'model_mismatch',
        param: 'model',
        message: 'The form has "model" twice. Name the model once.',
      },
    ],
    [
      'the model as a file',
      form(FILE, ASKED.replace('name="model"', 'name="model"; filename="x"')),
      undefined,
      { status: 400, code: 'invalid_parameter', param: 'model', message: /must be a plain field of the form/ },
    ],
    [
      'an unknown model',
      form(FILE, field('model', 'nope')),
      undefined,
      { status: 404, code: 'model_not_found', param: 'model', message: 'Model not found: nope' },
    ],
    [
      'a form that is cut off',
      form(ASKED, FILE).subarray(0, -8),
      undefined,
      { status: 400, code: 'invalid_parameter', message: /last boundary, with two more dashes, is missing/ },
    ],
    [
      'another boundary',
      form(ASKED, FILE),
      'multipart/form-data; boundary=other',
      { status: 400, code: 'invalid_parameter', message: /does not start with the boundary/ },
    ],
    [
      'no boundary',
      form(ASKED, FILE),
      'multipart/form-data',
      { status: 400, code: 'invalid_parameter', message: /has no usable boundary/ },
    ],
    [
      'JSON instead',
      Buffer.from('{"model":"openai/whisper"}'),
      'application/json',
      { status: 415, code: 'unsupported_media_type', message: /Send it as multipart\/form-data/ },
    ],
    ['nothing', Buffer.alloc(0), undefined, { status: 400, code: 'invalid_json', message: /is empty/ }],
  ];
  for (const [what, body, type, error] of WRONG) {
    test(`${what}: ${error.status} ${error.code}, and no pod is asked`, async () => {
      const before = fleet.requestCount;
      assertOpenAiError(await post(`POST ${PATH}`, body, type === undefined ? {} : { 'content-type': type }), error);
      assert.equal(fleet.requestCount, before);
    });
  }
});
