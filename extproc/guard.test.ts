import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLog } from '../telemetry/log.ts';
import { guard } from './guard.ts';

test('what a step throws is logged, and thrown no further', () => {
  const lines: { event: string; level: string; err: { message: string } }[] = [];
  const log = createLog('info', { write: line => lines.push(JSON.parse(line)) });
  guard(log, 'step.failed', () => {
    throw new Error('a mistake');
  });
  assert.deepEqual(
    lines.map(({ event, level, err }) => [event, level, err.message]),
    [['step.failed', 'error', 'a mistake']],
  );
});
