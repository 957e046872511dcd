import assert from 'node:assert/strict';
import { connect } from 'node:http2';
import { after, before, suite, test } from 'node:test';
import { type Answer, assertAnthropicError, assertOpenAiError, type ExpectedError, send } from './harness/answer.ts';
import { Fleet, LLAMA } from './harness/fleet.ts';
import { type Fields, Http2Frames } from './harness/http2-frames.ts';
import { RawConnection } from './harness/raw-connection.ts';
import { until } from './harness/until.ts';

const CHAT = '/v1/chat/completions';
const BODY = `{"model":"llama","messages":[{"role":"user","content":"Hi"}],"max_tokens":2}`;
const SIZE = `content-length: ${BODY.length}\r\n`;
const POST = `POST ${CHAT} HTTP/1.1\r\nhost: gateway\r\n`;
const GET = 'GET /v1/models HTTP/1.1\r\nhost: gateway\r\n';

const badRequest: ExpectedError = {
  status: 400,
  code: 'bad_request',
  message: 'The request is not valid HTTP. Check headers, content-length and transfer-encoding.',
};
const tooOld: ExpectedError = {
  status: 426,
  code: 'upgrade_required',
  message: 'This HTTP version is too old. Use HTTP/1.1 or HTTP/2.',
};
const largeHeaders: ExpectedError = {
  status: 431,
  code: 'headers_too_large',
  message: 'The request headers are larger than the gateway accepts.',
};
const noUpgrade: ExpectedError = {
  status: 403,
  code: 'upgrade_not_allowed',
  message: 'The gateway does not upgrade connections. Send plain HTTP requests.',
};
const LONG = 'x'.repeat(70_000);
const MANY = Array.from({ length: 150 }, (_, index) => `h${index}: 1\r\n`).join('');

/** Bytes that are no proper HTTP/1.1, after which the connection is of no use. */
const WRONG: Readonly<Record<string, readonly [bytes: string, error: ExpectedError]>> = {
  garbage: ['hello world\r\n\r\n', badRequest],
  'a TLS handshake': ['\x16\x03\x01\x00\x01\x01\x00', badRequest],
  'a method that does not exist': ['FOO /v1/models HTTP/1.1\r\nhost: gateway\r\n\r\n', badRequest],
  'a path without slash': ['GET v1/models HTTP/1.1\r\nhost: gateway\r\n\r\n', badRequest],
  'bytes above ASCII in the path': ['GET /v1/models/\xe9 HTTP/1.1\r\nhost: gateway\r\n\r\n', badRequest],
  'no host': [`POST ${CHAT} HTTP/1.1\r\n${SIZE}\r\n${BODY}`, badRequest],
  'a content-length of letters': [`${POST}content-length: abc\r\n\r\n${BODY}`, badRequest],
  'a negative content-length': [`${POST}content-length: -1\r\n\r\n${BODY}`, badRequest],
  'two content-lengths': [`${POST}content-length: 5\r\ncontent-length: 6\r\n\r\n${BODY}`, badRequest],
  'content-length and chunks': [`${POST}content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`, badRequest],
  'an unknown transfer-encoding': [`${POST}transfer-encoding: bogus\r\n\r\n${BODY}`, badRequest],
  'two transfer-encodings': [`${POST}transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n`, badRequest],
  'a chunk without size': [`${POST}transfer-encoding: chunked\r\n\r\nzz\r\n`, badRequest],
  'a zero byte in a header': [`${POST}a: b\0c\r\n${SIZE}\r\n${BODY}`, badRequest],
  'a zero byte in the path': ['GET /v1/\0models HTTP/1.1\r\nhost: gateway\r\n\r\n', badRequest],
  'a header without colon': [`${POST}abc\r\n${SIZE}\r\n${BODY}`, badRequest],
  'a space in the name of a header': [`${POST}a b: c\r\n${SIZE}\r\n${BODY}`, badRequest],
  'HTTP/1.0': ['GET /v1/models HTTP/1.0\r\nhost: gateway\r\n\r\n', tooOld],
  'HTTP/0.9': ['GET /v1/models\r\n\r\n', tooOld],
  'HTTP/3.0 in HTTP/1': ['GET /v1/models HTTP/3.0\r\nhost: gateway\r\n\r\n', tooOld],
  'a header of 70 kB': [`${POST}a: ${LONG}\r\n${SIZE}\r\n${BODY}`, largeHeaders],
  'a path of 70 kB': [`GET /v1/models/${LONG} HTTP/1.1\r\nhost: gateway\r\n\r\n`, largeHeaders],
  '150 headers': [`${POST}${MANY}${SIZE}\r\n${BODY}`, largeHeaders],
  'a WebSocket': [`${GET}connection: upgrade\r\nupgrade: websocket\r\n\r\n`, noUpgrade],
};

/** Requests that are wrong and can still be told apart from the next one on their connection. */
const WRONG_ALONE: Readonly<Record<string, readonly [bytes: string, error: ExpectedError]>> = {
  'a fragment in the path': ['GET /v1/models#x HTTP/1.1\r\nhost: gateway\r\n\r\n', badRequest],
  'a path that climbs': [
    'GET /v1/../../etc/passwd HTTP/1.1\r\nhost: gateway\r\n\r\n',
    { status: 404, code: 'route_not_found', message: /^No such endpoint: GET \/etc\/passwd\. / },
  ],
  'a zero byte in the path, escaped': ['GET /v1/models/a%00b HTTP/1.1\r\nhost: gateway\r\n\r\n', badRequest],
  'OPTIONS of everything': ['OPTIONS * HTTP/1.1\r\nhost: gateway\r\n\r\n', badRequest],
  'a body that is no JSON': [
    `${POST}content-length: 2\r\n\r\n[]`,
    { status: 400, code: 'invalid_json', message: /is not a JSON object/ },
  ],
  'the path of another host': [
    'GET http://elsewhere/v1/models/nope HTTP/1.1\r\nhost: gateway\r\n\r\n',
    { status: 404, code: 'model_not_found', param: 'model', message: 'Model not found: nope' },
  ],
};

const PSEUDO: Fields = [
  [':method', 'GET'],
  [':scheme', 'http'],
  [':path', '/v1/models'],
  [':authority', 'gateway'],
];

/** HTTP/2 requests that cannot be answered, but end alone. */
const RESET: Readonly<Record<string, Fields>> = {
  'a capital in the name of a header': [...PSEUDO, ['Foo', '1']],
  'a zero byte in a header': [...PSEUDO, ['a', 'b\0c']],
  'a line break in a header': [...PSEUDO, ['a', 'b\r\nc']],
  'a header of the connection': [...PSEUDO, ['connection', 'close']],
  'a transfer-encoding': [...PSEUDO, ['transfer-encoding', 'chunked']],
  'a content-length of letters': [...PSEUDO, ['content-length', 'abc']],
  'a path that comes twice': [...PSEUDO, [':path', '/v1/chat/completions']],
  'no path': PSEUDO.filter(([name]) => name !== ':path'),
  'no authority': PSEUDO.filter(([name]) => name !== ':authority'),
  'a pseudo header after the others': [['a', 'b'], ...PSEUDO],
  '150 headers': [...PSEUDO, ...Array.from({ length: 150 }, (_, index) => [`h${index}`, '1'] as const)],
  '70 kB of headers': [...PSEUDO, ['a', LONG.slice(0, 35_000)], ['b', LONG.slice(0, 35_000)]],
};

suite('abused HTTP is answered or reset, and harms nobody else', () => {
  let fleet: Fleet;
  before(async () => {
    fleet = await Fleet.start();
  });
  after(() => fleet?.close());

  async function assertServes(): Promise<void> {
    assert.equal((await send(fleet.gateway.url, `POST ${CHAT}`, { body: BODY })).status, 200);
  }

  async function raw<Result>(use: (connection: RawConnection) => Promise<Result>): Promise<Result> {
    const connection = await RawConnection.open(fleet.gateway.port);
    try {
      return await use(connection);
    } finally {
      connection.reset();
    }
  }

  const told = (answer: Answer | undefined): Answer => answer ?? assert.fail('the connection ended without an answer');

  for (const [what, [bytes, error]] of Object.entries(WRONG)) {
    test(`${what}: ${error.status} ${error.code}, and the connection ends`, () =>
      raw(async connection => {
        const before = fleet.requestCount;
        connection.write(Buffer.from(bytes, 'latin1'));
        const answer = told(await connection.answer());
        assertOpenAiError(answer, error);
        assert.equal(answer.headers.get('connection'), 'close');
        assert.equal(fleet.requestCount, before);
        await assertServes();
      }));
  }

  for (const [what, [bytes, error]] of Object.entries(WRONG_ALONE)) {
    test(`${what}: ${error.status} ${error.code}, and the next request on the connection is served`, () =>
      raw(async connection => {
        connection.write(bytes);
        assertOpenAiError(told(await connection.answer()), error);
        connection.write(`${POST}${SIZE}\r\n${BODY}`);
        assert.equal(told(await connection.answer()).status, 200);
      }));
  }

  test('on Anthropic’s endpoint in Anthropic’s shape, where the path could be read', async () => {
    const messages = 'POST /v1/messages HTTP/1.1\r\nhost: gateway\r\n';
    const cases: [string, Omit<ExpectedError, 'code'>][] = [
      [`${messages}transfer-encoding: chunked\r\n\r\nzz\r\n`, badRequest],
      [`${messages}connection: upgrade\r\nupgrade: h2\r\n\r\n`, { ...noUpgrade, type: 'permission_error' }],
    ];
    for (const [bytes, error] of cases) {
      await raw(async connection => {
        connection.write(bytes);
        assertAnthropicError(told(await connection.answer()), error);
      });
    }
  });

  test('requests one behind the other are answered in order; what follows is not taken for a part of them', () =>
    raw(async connection => {
      connection.write(`${POST}content-length: 16\r\n\r\n{"model":"nope"}${GET}\r\nGARBAGE\r\n\r\n`);
      assert.equal(told(await connection.answer()).status, 404);
      const models = told(await connection.answer());
      assert.equal(models.status, 200);
      assert.match(models.body, /^\{"object":"list"/);
      assertOpenAiError(told(await connection.answer()), badRequest);
    }));

  test('expect: 100-continue is answered before the body is sent', () =>
    raw(async connection => {
      connection.write(`${POST}expect: 100-continue\r\n${SIZE}\r\n`);
      assert.equal(told(await connection.answer()).status, 100);
      connection.write(BODY);
      assert.equal(told(await connection.answer()).status, 200);
    }));

  test('HTTP/2 without TLS is served: JSON, stream and error', async () => {
    const session = connect(fleet.gateway.url);
    try {
      const post = (body: string) =>
        new Promise<{ status: number | undefined; model: unknown; text: string }>((resolve, reject) => {
          const stream = session.request({ ':method': 'POST', ':path': CHAT, 'content-type': 'application/json' });
          let head: Record<string, unknown> = {};
          let text = '';
          stream.setEncoding('utf8').on('response', headers => {
            head = headers;
          });
          stream.on('data', chunk => {
            text += chunk;
          });
          stream.on('end', () => resolve({ status: Number(head[':status']), model: head['x-fairlead-model'], text }));
          stream.on('error', reject).end(body);
        });
      const answers = await Promise.all([
        post(BODY),
        post(`{"stream":true,${BODY.slice(1)}`),
        post('{"model":"nope"}'),
      ]);
      assert.deepEqual(
        answers.map(({ status, model }) => [status, model]),
        [
          [200, LLAMA],
          [200, LLAMA],
          [404, undefined],
        ],
      );
      assert.match(answers[1]?.text ?? '', /data: \[DONE\]\n\n$/);
    } finally {
      session.destroy();
    }
  });

  for (const [what, fields] of Object.entries(RESET)) {
    test(`HTTP/2 with ${what}: that stream is reset, the others of the connection go on`, async () => {
      const frames = await Http2Frames.open(fleet.gateway.port);
      try {
        const [before, wrong, behind] = [frames.request(PSEUDO), frames.request(fields), frames.request(PSEUDO)];
        const outcomes = await until('an end of each stream', () => {
          const seen = [before, wrong, behind].map(stream => frames.outcome(stream));
          return !seen.includes(undefined) && seen;
        });
        assert.deepEqual(outcomes, ['answered', 'reset', 'answered']);
      } finally {
        frames.close();
      }
    });
  }

  test('HTTP/2 headers that cannot be decompressed end the connection, as they must, and no other', async () => {
    const other = await Http2Frames.open(fleet.gateway.port);
    const frames = await Http2Frames.open(fleet.gateway.port);
    try {
      const stream = frames.requestBlock(Buffer.from('ffffffffff', 'hex'));
      await until('the end of the connection', () => frames.outcome(stream) === 'connection closed');
      const request = other.request(PSEUDO);
      await until('an answer on the other', () => other.outcome(request) === 'answered');
    } finally {
      frames.close();
      other.close();
    }
  });

  test('nothing is left in flight', async () => {
    await assertServes();
    await until('nothing in flight', async () => {
      const { gateway } = fleet;
      return (await gateway.metric(`fairlead_in_flight{model="${LLAMA}"}`)) === 0;
    });
  });
});
