import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type ClientHttp2Session, type ClientHttp2Stream, connect } from 'node:http2';
import { after, before, suite, test } from 'node:test';
import { type SimPod, startPods } from '../../sim/pod.ts';
import type { Child } from './harness/child.ts';
import { model } from './harness/gateway.ts';
import { HeldPod } from './harness/held-pod.ts';
import { isOpen } from './harness/processes.ts';
import { RawConnection } from './harness/raw-connection.ts';
import { SeparateGateway } from './harness/separate-gateway.ts';
import { SteadyLoad } from './harness/steady-load.ts';
import { until } from './harness/until.ts';

const chat = (name: string, stream: boolean) =>
  JSON.stringify({ model: name, messages: [{ role: 'user', content: 'Hi' }], max_tokens: 4, stream });

/** The text of a streamed answer, on a connection of its own. */
async function streamed(gateway: SeparateGateway): Promise<string> {
  const response = await fetch(`${gateway.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: chat('held', true),
  });
  assert.equal(response.status, 200);
  return response.text();
}

function asked(path: string, body?: string): string {
  const head = `${body === undefined ? 'GET' : 'POST'} ${path} HTTP/1.1\r\nhost: gateway\r\n`;
  if (body === undefined) return `${head}\r\n`;
  return `${head}content-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
}

suite('a gateway is drained', () => {
  let held: HeldPod;
  let pods: SimPod[] = [];
  let gateway: SeparateGateway;
  let extproc: Child;
  let envoy: Child;

  before(async () => {
    held = await HeldPod.start();
    pods = await startPods([{ name: 'm-0', models: ['m'], timeScale: 10 }]);
    gateway = await SeparateGateway.create([
      model('held', [held.endpoint]),
      model(
        'm',
        pods.map(({ endpoint }) => endpoint),
      ),
    ]);
  });

  after(async () => {
    await gateway.close();
    await held.close();
    await Promise.all(pods.map(pod => pod.close()));
  });

  test('extproc lives before there is a table, and is ready when its Envoy is', async () => {
    extproc = gateway.startExtproc();
    await until('liveness', async () => (await gateway.probe('/livez')) === 200);
    assert.equal(await gateway.probe('/readyz'), 503);
    envoy = gateway.startEnvoy();
    gateway.startOperator();
    await gateway.untilReady();
    await until('readiness', async () => (await gateway.probe('/readyz')) === 200);
  });

  test('unready at once, every client told to leave, then closed; what runs ends as it should', async () => {
    const open = await RawConnection.open(gateway.port);
    open.write(asked('/livez'));
    assert.equal((await open.answer())?.headers.get('connection'), null);
    await envoy.untilPrinted('"path":"/livez"');
    const h2 = connect(gateway.url);
    const goAway = once(h2, 'goaway');
    const streams = [streamed(gateway), heldStream(h2)];
    await until('two streams', () => held.held === 2);

    const drain = gateway.startDrain('--min-accept', '6s', '--timeout', '60s');
    await drain.untilPrinted('Not ready any more; connections are accepted for another 6 s.');
    const unready = await fetch(`${gateway.url}/readyz`);
    assert.equal(unready.status, 503);
    assert.match(await unready.text(), /"code":"gateway_unavailable"/);
    assert.equal((await fetch(`${gateway.url}/health`)).status, 503);
    const late = await RawConnection.open(gateway.port);
    late.write(asked('/v1/chat/completions', chat('m', false)));
    const served = await late.answer();
    assert.equal(served?.status, 200);
    assert.equal(served?.headers.get('connection'), 'close');
    h2.request({ ':path': '/livez' }).resume();
    await goAway;

    await drain.untilPrinted('Closed to new connections; 2 requests running.');
    await until('the closed port', async () => !(await isOpen(gateway.port)));
    open.write(asked('/v1/chat/completions', chat('m', false)));
    const kept = await open.answer();
    assert.equal(kept?.status, 200, 'a connection from before is still served');
    assert.equal(kept?.headers.get('connection'), 'close');

    held.finish();
    for (const text of await Promise.all(streams)) assert.ok(text.endsWith('data: [DONE]\n\n'), text);
    assert.equal(await drain.ended(), 0);
    assert.match(drain.output, /Drained: no request is running\./);
    assert.equal(held.cut, 0);
    h2.close();
    for (const connection of [open, late]) connection.end();
  });

  test('again, twice at once: there is nothing left to do', async () => {
    const drains = ['1', '2'].map(() => gateway.startDrain('--min-accept', '10ms'));
    assert.deepEqual(await Promise.all(drains.map(drain => drain.ended())), [0, 0]);
    assert.equal(await envoy.end('SIGTERM'), 0);
  });

  test('of an Envoy that is away there is nothing to drain', async () => {
    const drain = gateway.startDrain('--min-accept', '10ms');
    assert.equal(await drain.ended(), 0);
    assert.match(drain.output, /No Envoy answers at .*envoy-admin\.sock: there is nothing to drain\./);
  });

  test('in the same place the next Envoy is ready', async () => {
    envoy = gateway.startEnvoy();
    await gateway.untilReady();
  });

  test('a stream that outlasts the timeout is counted, not cut; the next drain waits for it', async () => {
    const stream = streamed(gateway);
    await until('a stream', () => held.held === 1);
    const drain = gateway.startDrain('--min-accept', '100ms', '--timeout', '500ms');
    assert.equal(await drain.ended(), 1);
    assert.match(drain.output, /Not drained within 0\.5 s: 1 request still running\./);
    const next = gateway.startDrain('--min-accept', '100ms');
    await next.untilPrinted('Closed to new connections; 1 request running.');
    held.finish();
    assert.ok((await stream).endsWith('data: [DONE]\n\n'));
    assert.equal(await next.ended(), 0);
    assert.equal(await envoy.end('SIGTERM'), 0);
  });

  test('an Envoy that dies meanwhile is told with what it took along', async () => {
    envoy = gateway.startEnvoy();
    await gateway.untilReady();
    const stream = streamed(gateway).catch(() => 'cut');
    await until('a stream', () => held.held === 1);
    const drain = gateway.startDrain('--min-accept', '100ms');
    await drain.untilPrinted('Closed to new connections');
    await envoy.end('SIGKILL');
    assert.equal(await drain.ended(), 1);
    assert.match(drain.output, /Envoy ended while it was drained: 1 request lost\./);
    assert.equal(await stream, 'cut');
    assert.equal(await gateway.probe('/livez'), 200);
  });

  test('under load, then SIGTERM, ten times: every answer was recorded, and Envoy ends well', async () => {
    let answered = 0;
    const requestsAtPod = () => (pods[0]?.requests.at(-1)?.number ?? -1) + 1;
    const requestsBefore = requestsAtPod();
    const recorded = async () =>
      count(await gateway.metrics(), /^fairlead_requests_total\{model="m",.*code="200"\} (\d+)/gm);
    const before = await recorded();
    for (let turn = 0; turn < 10; turn++) {
      envoy = gateway.startEnvoy();
      await gateway.untilReady();
      const load = new SteadyLoad({ url: gateway.url, clients: 8, models: ['m'] });
      await load.untilMore(20);
      const drain = gateway.startDrain('--min-accept', '200ms');
      await drain.untilPrinted('Closed to new connections');
      await load.stop();
      assert.equal(await drain.ended(), 0, drain.output);
      assert.equal(await envoy.end('SIGTERM'), 0);
      // Refused, or reset where the kernel had queued the connection when the listener closed: neither was a request.
      for (const failure of load.failures) assert.match(failure, /ECONNREFUSED|ECONNRESET/);
      answered += load.answers.length;
      assert.equal(requestsAtPod() - requestsBefore, answered);
      await until('the records', async () => (await recorded()) - before >= answered);
      assert.equal((await recorded()) - before, answered);
    }
  });

  test('extproc that is told to stop serves on until its Envoy has ended', async () => {
    assert.equal(await extproc.end('SIGTERM'), 0);
    extproc = gateway.startExtproc('--stop-grace', '60s');
    envoy = gateway.startEnvoy();
    await gateway.untilReady();
    const stream = streamed(gateway);
    await until('a stream', () => held.held === 1);
    const stopped = extproc.end('SIGTERM');
    const load = new SteadyLoad({ url: gateway.url, clients: 2, models: ['m'] });
    await load.untilMore(40);
    await load.stop();
    assert.deepEqual(load.failures, []);
    held.finish();
    assert.ok((await stream).endsWith('data: [DONE]\n\n'));
    assert.equal(await gateway.startDrain('--min-accept', '10ms').ended(), 0);
    assert.equal(await envoy.end('SIGTERM'), 0);
    assert.equal(await stopped, 0);
  });

  test('… but no longer than it was given', async () => {
    extproc = gateway.startExtproc('--stop-grace', '100ms');
    envoy = gateway.startEnvoy();
    await gateway.untilReady();
    assert.equal(await extproc.end('SIGTERM'), 0);
    assert.equal(await isOpen(gateway.port), true);
  });

  /** A streamed answer over HTTP/2. */
  async function heldStream(session: ClientHttp2Session): Promise<string> {
    const head = { ':method': 'POST', ':path': '/v1/chat/completions', 'content-type': 'application/json' };
    const stream: ClientHttp2Stream = session.request(head);
    stream.setEncoding('utf8').end(chat('held', true));
    let text = '';
    for await (const chunk of stream) text += chunk;
    return text;
  }
});

/** The sum of the first groups. */
function count(text: string, pattern: RegExp): number {
  return [...text.matchAll(pattern)].reduce((sum, [, value]) => sum + Number(value), 0);
}
