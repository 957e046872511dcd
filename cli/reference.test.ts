import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { commandLineReference } from './reference.ts';

test('docs/reference/command-line.md is what --help says: else run make docs', async () => {
  const written = await readFile(join(import.meta.dirname, '../docs/reference/command-line.md'), 'utf8');
  assert.equal(written, commandLineReference());
});
