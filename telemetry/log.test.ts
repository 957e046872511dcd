import assert from 'node:assert/strict';
import { it } from 'node:test';
import { createLog } from './log.ts';

function logged(level: string, write: (log: ReturnType<typeof createLog>) => void): Record<string, unknown>[] {
  const lines: string[] = [];
  write(createLog(level, { write: line => lines.push(line) }));
  return lines.map(line => JSON.parse(line));
}

it('writes an event with its fields, its level by name, and when', () => {
  const [line, ...rest] = logged('info', log => log.warn({ event: 'model.published', endpoints: 3 }));
  assert.deepEqual(rest, []);
  const { time, ...fields } = line ?? {};
  assert.deepEqual(fields, { level: 'warn', event: 'model.published', endpoints: 3 });
  assert.equal(new Date(String(time)).toISOString(), time);
});

it('writes nothing below its level', () => {
  assert.deepEqual(
    logged('warn', log => {
      log.info({ event: 'quiet' });
      log.debug({ event: 'quieter' });
    }),
    [],
  );
});

it('writes what an error says and where it came from', () => {
  const lines = logged('info', log => log.error({ event: 'failed', err: new Error('no luck') }));
  assert.equal(lines.length, 1);
  const text = JSON.stringify(lines[0]);
  assert.match(text, /"message":"no luck"/);
  assert.match(text, /log\.test\.ts/);
});
