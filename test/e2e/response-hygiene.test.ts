import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, suite, test } from 'node:test';
import { Gateway, model } from './harness/gateway.ts';

const COMPLETION = '{"object":"chat.completion","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}';

/** What a pod may not say, and what would come of it if it were believed. */
const FORGED: Readonly<Record<string, string>> = {
  'x-fairlead-model': 'forged',
  'x-fairlead-backend': 'forged',
  'x-fairlead-endpoint': 'forged',
  'x-fairlead-explain': 'forged',
  'x-fairlead-anything': 'forged',
  'X-Fairlead-Limit': 'forged',
  'x-envoy-immediate-health-check-fail': 'forged',
  'x-envoy-overloaded': 'forged',
  'x-envoy-ratelimited': 'forged',
  'x-envoy-upstream-canary': 'forged',
  'x-envoy-degraded': 'forged',
  'x-envoy-attempt-count': 'forged',
  // As engines do by default, to whomever they answer.
  'access-control-allow-origin': '*',
  'Access-Control-Allow-Credentials': 'true',
  'x-envoy-upstream-service-time': 'forged',
};
/** What passes as it is. */
const FROM_THE_POD = { 'x-custom': 'a, b', 'openai-processing-ms': '7', 'set-cookie': 'a=b', 'x-envoys': 'no prefix' };

suite('an answer says nothing in the gateway’s name', () => {
  let pod: Server;
  let gateway: Gateway;

  before(async () => {
    pod = createServer(async (request, response) => {
      for await (const chunk of request) chunk.length;
      const status = Number(request.headers['x-answer'] ?? 200);
      response.writeHead(status, { 'content-type': 'application/json', ...FROM_THE_POD, ...FORGED }).end(COMPLETION);
    }).listen(0, '127.0.0.1');
    await once(pod, 'listening');
    const address = `127.0.0.1:${(pod.address() as AddressInfo).port}`;
    gateway = await Gateway.start({ resources: [model('llama', [address])] });
  });
  after(async () => {
    await gateway?.close();
    pod.closeAllConnections();
    pod.close();
  });

  const ownHeaders = ({ headers }: Response) =>
    Object.fromEntries([...headers].filter(([name]) => name.startsWith('x-fairlead-') || name.startsWith('x-envoy-')));

  const OWN = { 'x-fairlead-model': 'llama', 'x-fairlead-backend': 'pods', 'x-fairlead-endpoint': 'pods-0' };

  for (const status of ['200', '400', '500', '503']) {
    test(`${status} of a pod`, async () => {
      const answer = await gateway.chat('llama', { headers: { 'x-answer': status } });
      assert.equal(answer.status, Number(status));
      assert.equal(await answer.text(), COMPLETION);
      assert.deepEqual(ownHeaders(answer), OWN);
      for (const [name, value] of Object.entries(FROM_THE_POD)) assert.equal(answer.headers.get(name), value);
    });
  }

  test('the gateway’s own explanation, where asked for', async () => {
    const answer = await gateway.chat('llama', { headers: { 'x-fairlead-explain': '1' } });
    const { 'x-fairlead-explain': explained, ...others } = ownHeaders(answer);
    assert.deepEqual(others, OWN);
    assert.deepEqual(JSON.parse(explained ?? '').chosen, ['pods-0']);
  });

  test('what the gateway answers by itself', async () => {
    const unknown = await gateway.chat('nope');
    assert.equal(unknown.status, 404);
    assert.deepEqual(ownHeaders(unknown), {});
    const refused = await gateway.chat('llama', { headers: { 'routing-strategy': 'fastest' } });
    assert.equal(refused.status, 400);
    assert.deepEqual(ownHeaders(refused), { 'x-fairlead-model': 'llama' });
    assert.deepEqual(ownHeaders(await fetch(`${gateway.url}/v1/models`)), {});
  });

  test('no answer of a pod makes Envoy avoid it', async () => {
    for (let count = 0; count < 3; count++) assert.equal((await gateway.chat('llama')).status, 200);
  });
});
