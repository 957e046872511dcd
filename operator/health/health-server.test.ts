import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { serveHealth } from './health-server.ts';

const METRICS = { contentType: 'text/plain; version=0.0.4', text: 'up 1\n' };

async function serving(t: TestContext, { reasons = [] as string[], metrics = async () => METRICS } = {}) {
  const abort = new AbortController();
  t.after(() => abort.abort());
  const view = { notReady: () => reasons, metrics };
  const port = await serveHealth({ address: '127.0.0.1:0', view, signal: abort.signal });
  const ask = async (path: string, init?: RequestInit) => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, init);
    return [response.status, await response.text()] as const;
  };
  return { ask, reasons, close: () => abort.abort(), port };
}

test('it lives, is ready once nothing is missing, and says what is', async t => {
  const { ask, reasons } = await serving(t, { reasons: ['the source is not synced', 'no certificate yet'] });
  assert.deepEqual(await ask('/livez'), [200, 'ok\n']);
  assert.deepEqual(await ask('/readyz'), [503, 'the source is not synced\nno certificate yet\n']);
  reasons.length = 0;
  assert.deepEqual(await ask('/readyz?verbose'), [200, 'ok\n']);
});

test('metrics come as they are made; one that cannot be made is an error', async t => {
  let broken = false;
  const metrics = () => (broken ? Promise.reject(new Error('no figures')) : Promise.resolve(METRICS));
  const { ask, port } = await serving(t, { metrics });
  assert.deepEqual(await ask('/metrics'), [200, 'up 1\n']);
  const { headers } = await fetch(`http://127.0.0.1:${port}/metrics`);
  assert.equal(headers.get('content-type'), METRICS.contentType);
  broken = true;
  assert.deepEqual(await ask('/metrics'), [500, 'no figures\n']);
});

test('nothing else is served, and nothing is written', async t => {
  const { ask } = await serving(t);
  assert.equal((await ask('/other'))[0], 404);
  assert.equal((await ask('/livez', { method: 'POST' }))[0], 405);
  assert.deepEqual(await ask('/livez', { method: 'HEAD' }), [200, '']);
});

test('the signal closes it, connections included', async t => {
  const { ask, close } = await serving(t);
  await ask('/livez');
  close();
  await assert.rejects(ask('/livez'));
});

test('an address that cannot be had is an error', async t => {
  const { port } = await serving(t);
  const view = { notReady: () => [], metrics: async () => METRICS };
  const { signal } = new AbortController();
  await assert.rejects(serveHealth({ address: `127.0.0.1:${port}`, view, signal }), { code: 'EADDRINUSE' });
  for (const address of ['18001', 'localhost', 'a b:1', ''])
    await assert.rejects(serveHealth({ address, view, signal }), /is no host:port/);
});
