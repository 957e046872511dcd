import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import { askAdmin } from './admin.ts';

/** Somebody who answers everything in one way. */
async function answering(t: TestContext, status: number, body: string): Promise<string> {
  const server = createServer((_, response) => response.writeHead(status).end(body)).listen(0, '127.0.0.1');
  t.after(() => server.close());
  await once(server, 'listening');
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

interface Page {
  readonly node: string;
  readonly model: string | null;
}

const ask = (admin: string) => askAdmin<Page>(admin, '/explain', 'model');

test('a page is given whatever its status says', async t => {
  const page = { node: 'n', model: null };
  for (const status of [200, 404]) assert.deepEqual(await ask(await answering(t, status, JSON.stringify(page))), page);
});

const OTHERS: Readonly<Record<string, readonly [number, string]>> = {
  'a web page': [200, '<!doctype html>'],
  nothing: [204, ''],
  'a value': [200, 'null'],
  'the OpenAI API': [404, '{"error":{"message":"no such endpoint"}}'],
  'other JSON': [200, '{"models":[]}'],
};
for (const [what, [status, body]] of Object.entries(OTHERS)) {
  test(`${what} is not an admin address, and said so`, async t => {
    const admin = await answering(t, status, body);
    await assert.rejects(ask(admin), new RegExp(`^Error: ${admin} is not a Fairlead admin address \\(port 8889 `));
  });
}

test('what the gateway says of itself is told', async t => {
  const admin = await answering(t, 503, '{"error":"the data thread did not answer within 2000 ms"}');
  await assert.rejects(ask(admin), /The gateway at .*: the data thread did not answer/);
});
