import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { errorReference } from './reference.ts';

test('docs/reference/errors.md is what the table says: else run make docs', async () => {
  const written = await readFile(join(import.meta.dirname, '../docs/reference/errors.md'), 'utf8');
  assert.equal(written, errorReference());
});
