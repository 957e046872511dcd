import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';

const PROGRAM = `
  import { untilStopped } from ${JSON.stringify(new URL('./stop-signal.ts', import.meta.url).href)};
  process.on('exit', () => console.log('cleaned up'));
  untilStopped().addEventListener('abort', () => console.log('stopping'));
  setInterval(() => {}, 1_000);
  console.log('up');`;

const CASES = [
  ['SIGINT', 'SIGINT', 130],
  ['SIGINT', 'SIGTERM', 143],
  ['SIGTERM', 'SIGINT', 130],
  ['SIGHUP', 'SIGTERM', 143],
] as const;

for (const [first, second, code] of CASES) {
  test(`${first} stops, ${second} after it ends at once with ${code}, cleaning up`, async () => {
    const child = spawn(process.execPath, ['--input-type=module-typescript', '-e', PROGRAM], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const closed = once(child, 'close');
    let output = '';
    for await (const chunk of child.stdout.setEncoding('utf8')) {
      output += chunk;
      if (output === 'up\n') child.kill(first);
      if (output === 'up\nstopping\n') child.kill(second);
    }
    assert.deepEqual(await closed, [code, null]);
    assert.equal(output, 'up\nstopping\ncleaned up\n');
  });
}
