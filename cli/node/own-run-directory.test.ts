import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { ownRunDirectory } from './own-run-directory.ts';

test('a new run directory is its user’s alone; of one that others may write to is warned', t => {
  const parent = mkdtempSync(join(tmpdir(), 'fairlead-own-'));
  t.after(() => rmSync(parent, { recursive: true }));
  const path = join(parent, 'run');
  const warnings: string[] = [];
  const warn = (message: string) => warnings.push(message);
  assert.equal(ownRunDirectory(path, warn).path, path);
  assert.equal(statSync(path).mode & 0o777, 0o700);
  chmodSync(path, 0o755);
  ownRunDirectory(path, warn);
  assert.deepEqual(warnings, []);
  chmodSync(path, 0o777);
  ownRunDirectory(path, warn);
  assert.equal(warnings.length, 1);
  assert.match(warnings[0] ?? '', /writable by other users/);
});
