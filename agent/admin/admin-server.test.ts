import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import { AdminServer, jsonAnswer } from './admin-server.ts';

/** A port that was free a moment ago. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise(resolve => server.once('listening', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise(resolve => server.close(resolve));
  return port;
}

/** Asks until somebody listens. */
async function get(url: string, init?: RequestInit): Promise<Response> {
  for (;;) {
    const response = await fetch(url, init).catch(() => undefined);
    if (response) return response;
  }
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise(resolve => setImmediate(resolve));
}

test('pages answer, others are a 404 that lists them, and nothing is written', async t => {
  const errors: Error[] = [];
  const pages = new Map([
    ['/echo', async (query: URLSearchParams) => jsonAnswer(200, { asked: query.get('q') })],
    ['/broken', async () => Promise.reject(new Error('no data thread'))],
  ]);
  const admin = new AdminServer(pages, error => errors.push(error));
  t.after(() => admin.close());
  const base = `http://127.0.0.1:${await freePort()}`;
  admin.listen('127.0.0.1', Number(new URL(base).port));
  assert.deepEqual(await (await get(`${base}/echo?q=1`)).json(), { asked: '1' });
  const missing = await get(`${base}/other`);
  assert.equal(missing.status, 404);
  assert.match(await missing.text(), /\/echo \/broken/);
  assert.equal((await get(`${base}/echo`, { method: 'POST' })).status, 405);
  assert.equal((await get(`${base}/broken`)).status, 500);
  assert.deepEqual(
    errors.map(error => error.message),
    ['no data thread'],
  );
});

/** A server whose errors can be waited for. */
function adminServer(t: TestContext) {
  const errors: NodeJS.ErrnoException[] = [];
  let reported = Promise.withResolvers<void>();
  const admin = new AdminServer(new Map([['/x', async () => jsonAnswer(200, {})]]), error => {
    errors.push(error);
    reported.resolve();
    reported = Promise.withResolvers();
  });
  t.after(() => admin.close());
  return { admin, errors, reported: reported.promise };
}

/** Another program, on a port of its own. */
async function program(t: TestContext): Promise<{ port: number; end(): Promise<unknown> }> {
  const server = createServer().listen(0, '127.0.0.1');
  t.after(() => server.close());
  await once(server, 'listening');
  return { port: (server.address() as AddressInfo).port, end: () => new Promise(resolve => server.close(resolve)) };
}

test('a request target that is none is a 404, not a failure', async t => {
  const { admin, errors } = adminServer(t);
  const port = await freePort();
  admin.listen('127.0.0.1', port);
  await get(`http://127.0.0.1:${port}/x`);
  for (const target of ['//', '//[', '/\\\\[', 'http://']) {
    const [answer] = await once(request({ port, host: '127.0.0.1', path: target }).end(), 'response');
    assert.equal(answer.statusCode, 404, target);
    answer.resume();
  }
  assert.deepEqual(errors, []);
});

test('listen moves the server', async t => {
  const { admin } = adminServer(t);
  const [first, second] = [await freePort(), await freePort()];
  admin.listen('127.0.0.1', first);
  assert.equal((await get(`http://127.0.0.1:${first}/x`)).status, 200);
  admin.listen('127.0.0.1', second);
  assert.equal((await get(`http://127.0.0.1:${second}/x`)).status, 200);
  await until(() =>
    fetch(`http://127.0.0.1:${first}/x`).then(
      () => false,
      () => true,
    ),
  );
});

test('a taken port is reported once, the old one served meanwhile, and the new one had when it is free', async t => {
  const { admin, errors, reported } = adminServer(t);
  const first = await freePort();
  admin.listen('127.0.0.1', first);
  await get(`http://127.0.0.1:${first}/x`);
  const other = await program(t);
  admin.listen('127.0.0.1', other.port);
  await reported;
  assert.equal((await fetch(`http://127.0.0.1:${first}/x`)).status, 200);
  await other.end();
  assert.equal((await get(`http://127.0.0.1:${other.port}/x`)).status, 200);
  assert.deepEqual(
    errors.map(({ code }) => code),
    ['EADDRINUSE'],
  );
});

test('back to the address that was never left', async t => {
  const { admin, reported } = adminServer(t);
  const first = await freePort();
  admin.listen('127.0.0.1', first);
  await get(`http://127.0.0.1:${first}/x`);
  admin.listen('127.0.0.1', (await program(t)).port);
  await reported;
  admin.listen('127.0.0.1', first);
  assert.equal((await fetch(`http://127.0.0.1:${first}/x`)).status, 200);
});

test('from one host to all of them, on the same port', async t => {
  const { admin, errors } = adminServer(t);
  const port = await freePort();
  admin.listen('127.0.0.1', port);
  await get(`http://127.0.0.1:${port}/x`);
  admin.listen('0.0.0.0', port);
  assert.equal((await get(`http://127.0.0.2:${port}/x`)).status, 200);
  assert.deepEqual(errors, []);
});

test('an address that the machine does not have leaves the old one serving, on the same port too', async t => {
  const { admin, errors, reported } = adminServer(t);
  const port = await freePort();
  admin.listen('127.0.0.1', port);
  await get(`http://127.0.0.1:${port}/x`);
  admin.listen('192.0.2.1', port);
  await reported;
  assert.equal((await get(`http://127.0.0.1:${port}/x`)).status, 200);
  assert.equal(errors[0]?.code, 'EADDRNOTAVAIL');
});
