import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Agent, request as httpRequest, type IncomingMessage } from 'node:http';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { FaultQueue } from './faults.ts';
import { type SimPod, startPod } from './pod.ts';

const USER = [{ role: 'user', content: 'hello' }];
let pod: SimPod;
beforeEach(async () => {
  pod = await startPod({ name: 'p', models: ['m'], timeScale: 100 });
});
afterEach(() => pod.close());

function chat(fields: object = {}, init: RequestInit = {}, path = '/v1/chat/completions'): Promise<Response> {
  const body = JSON.stringify({ messages: USER, max_tokens: 10, ...fields });
  return fetch(pod.url + path, { method: 'POST', headers: { 'content-type': 'application/json' }, body, ...init });
}

/** Reads as much as comes: what it was, and whether the end was the proper one. */
async function readUntilCut(response: Response): Promise<{ text: string; whole: boolean }> {
  let text = '';
  const decoder = new TextDecoder();
  try {
    for await (const chunk of response.body ?? []) text += decoder.decode(chunk as Uint8Array, { stream: true });
    return { text, whole: true };
  } catch {
    return { text, whole: false };
  }
}

const wordsIn = (text: string) =>
  [...text.matchAll(/"content":"([^"]*)"/g)]
    .map(match => match[1])
    .join('')
    .split(' ')
    .filter(word => word !== '').length;

describe('status', () => {
  test('answers it so many times in the dialect of the path, then is well again', async () => {
    pod.fault({ kind: 'status', status: 503, times: 2 });
    const first = await chat();
    assert.equal(first.status, 503);
    assert.equal(((await first.json()) as { error: { code: number } }).error.code, 503);
    const second = await chat({}, {}, '/v1/messages');
    assert.deepEqual(
      [second.status, ((await second.json()) as { error: { type: string } }).error.type],
      [503, 'overloaded_error'],
    );
    assert.equal((await chat()).status, 200);
  });

  test('with a body and a retry-after of its own', async () => {
    const body = '<h1>Bad Gateway</h1>';
    pod.fault({ kind: 'status', status: 429, body, contentType: 'text/html', retryAfterSeconds: 7 });
    const response = await chat();
    assert.deepEqual(
      [response.status, response.headers.get('content-type'), response.headers.get('retry-after')],
      [429, 'text/html', '7'],
    );
    assert.equal(await response.text(), body);
  });

  test('faults strike in the order in which they were given', async () => {
    pod.fault({ kind: 'status', status: 500, times: 1 });
    pod.fault({ kind: 'status', status: 429 });
    const statuses = [];
    for (let count = 0; count < 3; count++) statuses.push((await chat()).status);
    assert.deepEqual(statuses, [500, 429, 429]);
    await pod.clearFaults();
    assert.equal((await chat()).status, 200);
  });

  test('health, models and metrics do not suffer', async () => {
    pod.fault({ kind: 'status', status: 500 });
    for (const path of ['/health', '/v1/models', '/metrics']) assert.equal((await fetch(pod.url + path)).status, 200);
  });
});

describe('resets', () => {
  test('before headers: the request arrived, the connection is reset', async () => {
    pod.fault({ kind: 'reset-before-headers', times: 1 });
    await assert.rejects(chat(), (error: Error) => (error.cause as NodeJS.ErrnoException).code === 'ECONNRESET');
    assert.deepEqual([pod.requests[0]?.status, pod.requests[0]?.outcome], [undefined, 'cut']);
  });

  for (const [what, afterTokens, expected] of [
    ['unless told otherwise', undefined, 3],
    ['as told', 5, 5],
    ['at once', 0, 0],
  ] as const) {
    test(`mid-stream, ${what}: ${expected} tokens pass, then a reset and no end`, async () => {
      pod.fault({ kind: 'reset-mid-stream', ...(afterTokens === undefined ? {} : { afterTokens }) });
      const response = await chat({ stream: true });
      assert.equal(response.status, 200);
      const { text, whole } = await readUntilCut(response);
      assert.equal(whole, false);
      assert.equal(wordsIn(text), expected);
      assert.equal(text === '', expected === 0);
      assert.doesNotMatch(text, /DONE/);
      assert.equal(pod.load.running, 0);
    });
  }

  test('in the middle of a JSON answer', async () => {
    pod.fault({ kind: 'reset-mid-stream' });
    const response = await chat();
    assert.equal(response.status, 200);
    const { text, whole } = await readUntilCut(response);
    assert.equal(whole, false);
    assert.equal(text.length, Math.floor(Number(response.headers.get('content-length')) / 2));
  });
});

describe('stalls', () => {
  test('without headers, until the client gives up', async () => {
    pod.fault({ kind: 'stall', times: 1 });
    const answered = chat({}, { signal: AbortSignal.timeout(60) });
    await assert.rejects(answered, { name: 'TimeoutError' });
    assert.equal(pod.requests[0]?.status, undefined);
    assert.equal((await chat()).status, 200);
  });

  test('after so many tokens, though the engine has long said everything', async () => {
    pod.fault({ kind: 'stall', afterTokens: 4 });
    const { text, whole } = await readUntilCut(await chat({ stream: true }, { signal: AbortSignal.timeout(80) }));
    assert.equal(whole, false);
    assert.equal(wordsIn(text), 4);
    assert.equal(pod.load.running, 0);
  });

  test('in the middle of a JSON answer', async () => {
    pod.fault({ kind: 'stall', afterTokens: 1 });
    const response = await chat({}, { signal: AbortSignal.timeout(80) });
    assert.equal(response.status, 200);
    const { text, whole } = await readUntilCut(response);
    assert.equal(whole, false);
    assert.match(text, /^\{/);
  });
});

test('slow-close: everything is there but the end, which comes later', async () => {
  for (const stream of [true, false]) {
    pod.fault({ kind: 'slow-close', holdMs: 40, times: 1 });
    const startedMs = performance.now();
    const { text, whole } = await readUntilCut(await chat({ stream, max_tokens: 1 }));
    assert.ok(performance.now() - startedMs >= 40);
    assert.ok(whole);
    assert.match(text, stream ? /DONE/ : /\}$/);
  }
});

describe('refuse', () => {
  test('connections are refused until cleared, at the same address', async () => {
    const { endpoint } = pod;
    pod.fault({ kind: 'refuse' });
    await assert.rejects(chat(), (error: Error) => (error.cause as NodeJS.ErrnoException).code === 'ECONNREFUSED');
    await pod.clearFaults();
    assert.equal(pod.endpoint, endpoint);
    assert.equal((await chat()).status, 200);
  });

  for (const dropConnections of [false, true]) {
    test(`an answer under way ${dropConnections ? 'is cut' : 'completes, and its connection is closed then'}`, async () => {
      // Nothing but the fault closes a connection here.
      await using slow = await startPod({ name: 's', models: ['m'], idleCloseMs: 600_000 });
      const agent = new Agent({ keepAlive: true });
      const body = JSON.stringify({ messages: USER, max_tokens: 10, stream: true });
      const headers = { 'content-type': 'application/json' };
      const sent = httpRequest(`${slow.url}/v1/chat/completions`, { method: 'POST', agent, headers });
      sent.end(body);
      const [response] = (await once(sent, 'response')) as [IncomingMessage];
      const closed = once(response.socket, 'close');
      slow.fault({ kind: 'refuse', dropConnections });
      let text = '';
      const read = (async () => {
        for await (const chunk of response) text += chunk;
      })();
      if (dropConnections) await assert.rejects(read);
      else await read;
      await closed;
      assert.equal(text.includes('[DONE]'), !dropConnections);
      assert.equal(slow.load.running, 0);
      agent.destroy();
    });
  }

  test('refusing twice and clearing twice is as once; closing while refusing ends', async () => {
    pod.fault({ kind: 'refuse' });
    pod.fault({ kind: 'refuse', dropConnections: true });
    await pod.clearFaults();
    await pod.clearFaults();
    assert.equal((await chat()).status, 200);
    pod.fault({ kind: 'refuse' });
    await pod.close();
  });
});

test('a queue of faults: used up ones make way, unlimited ones stay', () => {
  const queue = new FaultQueue();
  assert.equal(queue.take(), undefined);
  queue.add({ kind: 'stall', times: 2 });
  queue.add({ kind: 'reset-before-headers' });
  const kinds = [1, 2, 3, 4].map(() => queue.take()?.kind);
  assert.deepEqual(kinds, ['stall', 'stall', 'reset-before-headers', 'reset-before-headers']);
  queue.clear();
  assert.equal(queue.take(), undefined);
});
