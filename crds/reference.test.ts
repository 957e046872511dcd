import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { resourceReference } from './reference.ts';

test('docs/reference/resources.md is what the schemas say: else run make docs', async () => {
  const written = await readFile(join(import.meta.dirname, '../docs/reference/resources.md'), 'utf8');
  assert.equal(written, resourceReference());
});
