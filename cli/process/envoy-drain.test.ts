import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { drainEnvoy } from './envoy-drain.ts';

/** An admin interface whose statistics take as long as those of many models, milliseconds. */
async function slowAdmin(t: TestContext, { tookMs, active }: { tookMs: number; active: () => number }) {
  const asked: string[] = [];
  const server = createServer(async (request, response) => {
    asked.push(`${request.method} ${request.url?.split('?')[0]}`);
    if (request.url?.startsWith('/stats')) await delay(tookMs);
    const connections = active() > 0 ? 1 : 0;
    response.end(
      `http.ingress.downstream_rq_active: ${active()}\nhttp.ingress.downstream_rq_total: 9\n` +
        `http.ingress.downstream_cx_active: ${connections}\nhttp.admin.downstream_rq_active: 1\n`,
    );
  });
  const directory = mkdtempSync(join(tmpdir(), 'fairlead-drain-'));
  const socketPath = join(directory, 'admin.sock');
  await new Promise<void>(resolve => server.listen(socketPath, resolve));
  t.after(async () => {
    await new Promise(resolve => server.close(resolve));
    rmSync(directory, { recursive: true });
  });
  return { asked, socketPath };
}

suite('draining an Envoy with many statistics', () => {
  test('takes a small share of its time', async t => {
    const { asked, socketPath } = await slowAdmin(t, { tookMs: 50, active: () => 1_000 });
    const outcome = await drainEnvoy({ socketPath, minAcceptMs: 0, timeoutMs: 1_600 });
    assert.deepEqual(outcome, { kind: 'timed out', active: 1_000 });
    assert.deepEqual(asked.slice(0, 2), ['POST /healthcheck/fail', 'POST /drain_listeners']);
    // One at the begin, one at the end, and between them no more than one each 550 ms.
    assert.ok(asked.length - 2 <= 4, asked.join());
  });

  test('ends when the last request has', async t => {
    let active = 2;
    const { asked, socketPath } = await slowAdmin(t, { tookMs: 0, active: () => active });
    const outcome = await drainEnvoy({
      ...{ socketPath, minAcceptMs: 0, timeoutMs: 60_000 },
      onProgress: () => active--,
    });
    assert.deepEqual(outcome, { kind: 'drained' });
    assert.equal(asked.filter(each => each === 'GET /stats').length, 3);
  });

  test('whose answer comes after connections are accepted goes on at once', async t => {
    const { socketPath } = await slowAdmin(t, { tookMs: 30, active: () => 0 });
    const warnings: string[] = [];
    const onWarning = ({ message }: Error) => void warnings.push(message);
    process.on('warning', onWarning);
    t.after(() => void process.off('warning', onWarning));
    assert.deepEqual(await drainEnvoy({ socketPath, minAcceptMs: 10, timeoutMs: 60_000 }), { kind: 'drained' });
    // Node tells its warnings, here of a timeout below zero, in the next turn.
    await delay(0);
    assert.deepEqual(warnings, []);
  });
});
