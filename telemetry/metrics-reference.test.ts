import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { it } from 'node:test';
import { metricsReference } from './metrics-reference.ts';

it('docs/reference/metrics.md is what the code says', () => {
  const written = readFileSync(new URL('../docs/reference/metrics.md', import.meta.url), 'utf8');
  assert.equal(written, metricsReference(), 'run make docs');
});
