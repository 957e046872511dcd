import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { assertAnthropicError, assertOpenAiError, send } from './harness/answer.ts';
import { Fleet, LLAMA } from './harness/fleet.ts';
import { RawConnection } from './harness/raw-connection.ts';
import { until } from './harness/until.ts';

const TIMEOUTS = { headers: '300ms', upload: '700ms' };
const UPLOAD_MS = 700;
/** Often enough that no pause is as long as either timeout. */
const TRICKLE_MS = 20;

const timedOut = {
  status: 408,
  code: 'request_timeout',
  message: 'The request did not arrive in time. Send it without pauses.',
};

const POST = 'POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\n';
const BEGUN = '{"model":"llama","ignored":"';

/** What a client has sent at first, and what it then sends again and again. */
const SLOW: Readonly<Record<string, readonly [first: string, again: string]>> = {
  'headers that do not end': [`${POST}a: b`, ''],
  'headers that come byte by byte': [POST, 'a'],
  'headers one by one, without end': [POST, 'a: b\r\n'],
  'a body that does not come': [`${POST}content-length: 10\r\n\r\n`, ''],
  'a body that comes byte by byte': [`${POST}content-length: 100000\r\n\r\n${BEGUN}`, 'x'],
  'chunks that stop': [`${POST}transfer-encoding: chunked\r\n\r\n1c\r\n${BEGUN}\r\n`, ''],
  'chunks without end': [`${POST}transfer-encoding: chunked\r\n\r\n1c\r\n${BEGUN}\r\n`, '1\r\nx\r\n'],
  'a chunk that comes byte by byte': [`${POST}transfer-encoding: chunked\r\n\r\n10000\r\n${BEGUN}`, 'x'],
};

suite('clients that are too slow', () => {
  let fleet: Fleet;
  before(async () => {
    fleet = await Fleet.start({ gateway: { clientTimeouts: TIMEOUTS } });
  });
  after(() => fleet?.close());

  async function tooSlow(first: string, again: string) {
    const connection = await RawConnection.open(fleet.gateway.port);
    connection.write(first);
    const trickle = setInterval(() => connection.write(again), TRICKLE_MS);
    try {
      const answer = (await connection.answer()) ?? assert.fail('the connection ended without an answer');
      assert.equal(answer.headers.get('connection'), 'close');
      return answer;
    } finally {
      clearInterval(trickle);
      connection.reset();
    }
  }

  suite('at the same time', { concurrency: true }, () => {
    for (const [what, [first, again]] of Object.entries(SLOW)) {
      test(`${what}: 408 request_timeout`, async () => {
        assertOpenAiError(await tooSlow(first, again), timedOut);
      });
    }

    test('on Anthropic’s endpoint in its shape', async () => {
      const first = 'POST /v1/messages HTTP/1.1\r\nhost: gateway\r\ncontent-length: 100\r\n\r\n{';
      assertAnthropicError(await tooSlow(first, ''), timedOut);
    });

    test('an answer may take longer than that: the request has arrived', async () => {
      const startedMs = performance.now();
      // At twenty times the speed of the GPU that is 1.5 seconds.
      const body = { model: LLAMA, messages: [{ role: 'user', content: 'Hi' }], max_tokens: 4_000, stream: true };
      const answer = await send(fleet.gateway.url, 'POST /v1/chat/completions', { body });
      assert.equal(answer.status, 200);
      assert.match(answer.body, /data: \[DONE\]\n\n$/);
      assert.ok(performance.now() - startedMs > UPLOAD_MS, 'else this shows nothing');
    });

    test('others are served meanwhile', async () => {
      for (let count = 0; count < 20; count++) {
        const body = { model: LLAMA, messages: [{ role: 'user', content: 'Hi' }], max_tokens: 2 };
        assert.equal((await send(fleet.gateway.url, 'POST /v1/chat/completions', { body })).status, 200);
      }
    });
  });

  test('each is counted', async () => {
    const { gateway } = fleet;
    await until('every request counted', async () => {
      const counted = await gateway.metric('fairlead_requests_total{model="",backend="",code="request_timeout"}');
      return counted === Object.keys(SLOW).length + 1;
    });
  });
});
