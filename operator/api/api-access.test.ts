import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { RequestOptions } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { podAccess } from './api-access.ts';

test('a pod reads its token anew for each request, and trusts a renewed authority', async t => {
  const directory = mkdtempSync(join(tmpdir(), 'fairlead-account-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const write = (token: string, ca: string) => {
    writeFileSync(join(directory, 'token'), `${token}\n`);
    writeFileSync(join(directory, 'ca.crt'), ca);
  };
  const access = podAccess({ KUBERNETES_SERVICE_HOST: 'fd00::1', KUBERNETES_SERVICE_PORT: '6443' }, directory);
  assert.equal(access?.server, 'https://[fd00::1]:6443');
  const authorized = async () => {
    const options: RequestOptions = { headers: { accept: 'application/json' } };
    await access.authorize(options);
    return options;
  };
  write('one', 'ca 1');
  const first = await authorized();
  assert.deepEqual(first.headers, { accept: 'application/json', authorization: 'Bearer one' });
  write('two', 'ca 1');
  const second = await authorized();
  assert.deepEqual(second.headers, { accept: 'application/json', authorization: 'Bearer two' });
  assert.equal(second.agent, first.agent, 'connections are kept while the authority is the same');
  write('two', 'ca 2');
  assert.notEqual((await authorized()).agent, first.agent);
});

test('elsewhere there is none', () => {
  assert.equal(podAccess({}), undefined);
});
