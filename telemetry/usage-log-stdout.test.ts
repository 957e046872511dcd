import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';

const USAGE_LOG = new URL('usage-log.ts', import.meta.url);

/** A process that writes usage records to its standard output. */
function writer(script: string) {
  const code = `import { openUsageLog } from ${JSON.stringify(USAGE_LOG.href)};
    const lost = Promise.withResolvers();
    const log = openUsageLog('stdout', reason => lost.resolve(console.error('lost:', reason)));
    ${script}`;
  return spawn(process.execPath, ['--input-type=module-typescript', '--eval', code], {
    stdio: ['pipe', 'pipe', 'pipe'],
  });
}

test('a reader that is gone costs records, and nothing else', async () => {
  const child = writer(`
    process.stdin.once('data', async () => {
      log.write({ a: 1 });
      await lost.promise;
      log.write({ a: 2 });
      await log.close();
      console.error('alive');
      process.stdin.destroy();
    });`);
  const told = text(child.stderr);
  child.stdout.destroy();
  await once(child.stdout, 'close');
  child.stdin.write('go');
  const [code] = await once(child, 'exit');
  assert.deepEqual([code, await told], [0, 'lost: EPIPE: broken pipe, write\nalive\n']);
});

test('a reader that is slow holds up nobody, and has all of it in the end', async () => {
  const child = writer(`
    const filling = 'x'.repeat(1_000);
    for (let i = 0; i < 1_000; i++) log.write({ i, filling });
    setImmediate(async () => {
      console.error('alive');
      await log.close();
    });`);
  const [told] = await once(child.stderr, 'data');
  assert.equal(String(told), 'alive\n');
  const lines = (await text(child.stdout)).trimEnd().split('\n');
  assert.deepEqual(
    lines.map(line => JSON.parse(line).i),
    Array.from({ length: 1_000 }, (_, i) => i),
  );
});
