import assert from 'node:assert/strict';
import { after, afterEach, before, suite, test } from 'node:test';
import { type SimPod, startPod } from '../../sim/pod.ts';
import { ApiCaller, consumer } from './harness/api-caller.ts';
import { Gateway, model } from './harness/gateway.ts';
import { HeldPod } from './harness/held-pod.ts';
import { RawConnection } from './harness/raw-connection.ts';
import { until } from './harness/until.ts';

const NAME = 'one-by-one';

suite('concurrency is given back as soon as a request is over', { timeout: 120_000 }, () => {
  let pod: SimPod;
  let held: HeldPod;
  let gateway: Gateway;
  let asking: ApiCaller;

  before(async () => {
    pod = await startPod({ name: 'pod', models: ['m'] });
    held = await HeldPod.start();
    gateway = await Gateway.start({
      resources: [
        model('m', [pod.endpoint]),
        model('held', [held.endpoint]),
        model('impatient', [pod.endpoint], { backend: { model: 'm' }, timeouts: { headers: '200ms' } }),
        consumer(NAME, { limits: [{ concurrency: 1 }] }),
      ],
    });
    asking = new ApiCaller(gateway, NAME);
  });
  after(async () => {
    await gateway?.close();
    await Promise.all([pod?.close(), held?.close()]);
  });
  afterEach(async () => {
    await pod.clearFaults();
    await asking.untilUsed(0);
    assert.equal((await asking.ask('m')).status, 200, 'the next passes');
    await asking.untilUsed(0);
  });

  const assertHeld = async (count = 1) => assert.deepEqual(await asking.used(), [count]);

  test('an answer', async () => {
    const answer = await asking.begin('m', { stream: false, max_tokens: 20 });
    assert.equal(answer.status, 200);
    await answer.text();
  });

  test('a stream, and not before its end', async () => {
    const stream = await asking.begin('held');
    await assertHeld();
    assert.equal((await asking.ask('m')).status, 429);
    held.finish();
    await stream.text();
  });

  test('a client that goes away in the middle of a stream', async () => {
    const leaving = new AbortController();
    const cut = held.cut;
    await asking.begin('held', {}, leaving.signal);
    await assertHeld();
    leaving.abort();
    await until('the pod learns of it', () => held.cut === cut + 1);
  });

  test('a client that goes away before an answer', async () => {
    pod.fault({ kind: 'stall' });
    const leaving = new AbortController();
    const waiting = asking.begin('m', {}, leaving.signal);
    await asking.untilUsed(1);
    leaving.abort();
    await assert.rejects(waiting);
  });

  test('a client that resets its connection', async () => {
    const body = JSON.stringify({ model: 'held', messages: [{ role: 'user', content: 'Hi' }], stream: true });
    const client = await RawConnection.open(gateway.port);
    client.write(
      `POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\nuser: ${NAME}\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
    );
    await until('the first event', () => client.received.includes('begin'));
    await assertHeld();
    client.reset();
  });

  test('a pod that resets before an answer, and in the middle of one', async () => {
    pod.fault({ kind: 'reset-before-headers', times: 1 });
    assert.equal((await asking.ask('m')).status, 502);
    await asking.untilUsed(0);
    pod.fault({ kind: 'reset-mid-stream', times: 1 });
    await assert.rejects((await asking.begin('m', { max_tokens: 100 })).text());
  });

  test('a pod that answers an error, refuses, or says nothing in time', async () => {
    pod.fault({ kind: 'status', status: 400, times: 1 });
    assert.equal((await asking.ask('m')).status, 400);
    await asking.untilUsed(0);
    pod.fault({ kind: 'refuse', dropConnections: true });
    assert.equal((await asking.ask('m')).status, 503);
    await asking.untilUsed(0);
    await pod.clearFaults();
    pod.fault({ kind: 'stall', times: 1 });
    assert.equal((await asking.ask('impatient')).status, 504);
  });

  test('a consumer that is changed and removed while he holds it', async () => {
    const streams = [await asking.begin('held')];
    const file = [consumer('another', { limits: [{ concurrency: 2 }] })];
    gateway.write('another.yaml', file);
    const other = new ApiCaller(gateway, 'another');
    await other.untilKnown(1);
    for (let asked = 0; asked < 2; asked++) streams.push(await other.begin('held'));
    assert.deepEqual([await asking.used(), await other.used()], [[1], [2]]);
    gateway.write('another.yaml', [consumer('another', { limits: [{ concurrency: 5 }] })]);
    await until('the change', async () => (await other.usage()).limits[0]?.amount === 5);
    assert.deepEqual(await other.used(), [2]);
    gateway.remove('another.yaml');
    await until('he is nobody', async () => (await other.usage()).consumer === 'anonymous');
    gateway.write('another.yaml', file);
    await other.untilKnown(1);
    assert.deepEqual(await other.used(), [2], 'they still run');
    held.finish();
    await Promise.all(streams.map(stream => stream.text()));
    await other.untilUsed(0);
  });
});
