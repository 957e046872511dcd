import assert from 'node:assert/strict';
import { connect } from 'node:http2';
import { after, afterEach, before, suite, test } from 'node:test';
import { type SimPod, startPod } from '../../sim/pod.ts';
import { send } from './harness/answer.ts';
import { Gateway, model } from './harness/gateway.ts';
import { RawConnection } from './harness/raw-connection.ts';
import { until } from './harness/until.ts';

const PATH = '/v1/chat/completions';
const POST = `POST ${PATH} HTTP/1.1\r\nhost: gateway\r\n`;

function body(more: object = {}): string {
  return JSON.stringify({ model: 'm', messages: [{ role: 'user', content: 'Hi' }], max_tokens: 2, ...more });
}
/** Longer than any of these tests waits for. */
const LONG = { max_tokens: 100_000 };
const whole = (text: string) => `${POST}content-length: ${Buffer.byteLength(text)}\r\n\r\n${text}`;

/** How a client can go: with a word, or without. */
const WAYS = { ends: (client: RawConnection) => client.end(), resets: (client: RawConnection) => client.reset() };

suite('a client that goes away leaves nothing behind', { timeout: 60_000 }, () => {
  let pod: SimPod;
  let gateway: Gateway;

  before(async () => {
    pod = await startPod({ name: 'pod', models: ['m'] });
    gateway = await Gateway.start({ resources: [model('m', [pod.endpoint])] });
  });
  after(async () => {
    await gateway?.close();
    await pod?.close();
  });

  const inFlight = () => gateway.metric('fairlead_in_flight{model="m"}');
  const gone = (labels: string) => gateway.metric(`fairlead_requests_total{${labels},code="client_closed_request"}`);
  const NOBODY = 'model="",backend=""';
  const PICKED = 'model="m",backend="pods"';

  afterEach(async () => {
    await pod.clearFaults();
    await until('nothing in flight', async () => (await inFlight()) === 0);
    assert.deepEqual([pod.load.running, pod.load.waiting, pod.load.kvBlocks.used], [0, 0, 0], 'the engine is idle');
    const next = await send(gateway.url, `POST ${PATH}`, { body: body() });
    assert.equal(next.status, 200, 'the next is served');
  });

  /** Phases in which no pod has been asked yet: what the client has sent when it goes. */
  const BEFORE: Readonly<Record<string, string>> = {
    'in the middle of the headers': `${POST}content-le`,
    'before its body': `${POST}content-length: 100\r\n\r\n`,
    'in the middle of its body': `${POST}content-length: 100000\r\n\r\n{"model":"m","messages":[`,
    'in the middle of a chunk': `${POST}transfer-encoding: chunked\r\n\r\n400\r\n{"model":"m"`,
    'before the last chunk': `${POST}transfer-encoding: chunked\r\n\r\n1\r\n{\r\n`,
  };
  for (const [phase, bytes] of Object.entries(BEFORE)) {
    for (const [how, go] of Object.entries(WAYS)) {
      test(`${how} ${phase}`, async () => {
        const [asked, counted] = [pod.requests.length, await gone(NOBODY)];
        const client = await RawConnection.open(gateway.port);
        client.write(bytes);
        // The connection is served by one event loop in turn, so that what was written before has been read by then.
        assert.equal((await send(gateway.url, 'GET /v1/models')).status, 200);
        go(client);
        // Envoy records even a request whose headers never came. Each is waited for, or the next test would count it.
        await until('the record of it', async () => (await gone(NOBODY)) === counted + 1);
        assert.equal(pod.requests.length, asked, 'no pod was asked');
      });
    }
  }

  for (const [how, go] of Object.entries(WAYS)) {
    test(`${how} while the pod has said nothing yet`, async () => {
      pod.fault({ kind: 'stall' });
      const counted = await gone(PICKED);
      const client = await RawConnection.open(gateway.port);
      client.write(whole(body()));
      const request = await until('the request at the pod', () =>
        pod.requests.find(({ outcome }) => outcome === 'open'),
      );
      await until('one in flight', async () => (await inFlight()) === 1);
      go(client);
      await until('the pod learns of it', () => request.outcome === 'cut');
      await until('the record of it', async () => (await gone(PICKED)) === counted + 1);
    });

    test(`${how} while the pod computes a whole answer`, async () => {
      const counted = await gone(PICKED);
      const client = await RawConnection.open(gateway.port);
      client.write(whole(body(LONG)));
      await until('the engine at work', () => pod.load.running === 1);
      go(client);
      await until('the sequence aborted', () => pod.load.running === 0);
      assert.equal(pod.requests.at(-1)?.outcome, 'cut');
      await until('the record of it', async () => (await gone(PICKED)) === counted + 1);
    });

    test(`${how} in the middle of a stream`, async () => {
      const counted = await gone(PICKED);
      const client = await RawConnection.open(gateway.port);
      client.write(whole(body({ ...LONG, stream: true })));
      await until('tokens', () => client.received.includes('"content":'));
      assert.equal(await inFlight(), 1);
      go(client);
      await until('the sequence aborted', () => pod.load.running === 0);
      assert.equal(pod.requests.at(-1)?.outcome, 'cut');
      await until('the record of it', async () => (await gone(PICKED)) === counted + 1);
    });
  }

  test('cancels one stream of an HTTP/2 connection: the other one goes on', async () => {
    const session = connect(gateway.url);
    try {
      const start = (more: object) => {
        const stream = session.request({ ':method': 'POST', ':path': PATH, 'content-type': 'application/json' });
        const seen = { text: '', stream };
        stream.setEncoding('utf8').on('data', chunk => {
          seen.text += chunk;
        });
        stream.on('error', () => undefined).end(body({ stream: true, ...more }));
        return seen;
      };
      const cancelled = start(LONG);
      const other = start({ max_tokens: 40 });
      await until('tokens of both', () => [cancelled, other].every(({ text }) => text.includes('"content":')));
      cancelled.stream.close(8);
      await until('the other whole', () => other.text.endsWith('data: [DONE]\n\n'));
      await until('the sequence aborted', () => pod.load.running === 0);
    } finally {
      session.destroy();
    }
  });

  test('a hundred that go at once, in all phases', async () => {
    const requests = [...Object.values(BEFORE), whole(body(LONG)), whole(body({ ...LONG, stream: true }))];
    const clients = await Promise.all(Array.from({ length: 100 }, () => RawConnection.open(gateway.port)));
    for (const [index, client] of clients.entries()) client.write(requests[index % requests.length] ?? '');
    await until('the engine at work', () => pod.load.running > 10);
    for (const [index, client] of clients.entries()) (index % 2 === 0 ? WAYS.ends : WAYS.resets)(client);
    await until('all sequences aborted', () => pod.load.running + pod.load.waiting === 0);
  });
});
