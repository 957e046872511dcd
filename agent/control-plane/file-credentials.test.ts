import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { issueAuthority } from '../../operator/trust/issue.ts';
import { fileCredentials } from './file-credentials.ts';

test('files that are not there yet, or hold nothing of use, are told of by name', async t => {
  const directory = await mkdtemp(join(tmpdir(), 'fairlead-trust-'));
  t.after(() => rm(directory, { recursive: true }));
  const files = { ca: join(directory, 'ca.crt'), token: join(directory, 'token') };
  const complaint = (message: string) => assert.throws(() => fileCredentials(files), { message });
  complaint(`${files.ca} is not there yet`);
  await writeFile(files.ca, '');
  complaint(`${files.ca} holds no certificate`);
  await writeFile(files.ca, '-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----\n');
  complaint(`${files.ca} holds no certificate`);
  const { certificate } = await issueAuthority(Date.now());
  await writeFile(files.ca, certificate);
  complaint(`${files.token} is not there yet`);
  await writeFile(files.token, '\n');
  complaint(`${files.token} is empty`);
  await writeFile(files.token, 'word\n');
  assert.ok(fileCredentials(files)._isSecure());
});
