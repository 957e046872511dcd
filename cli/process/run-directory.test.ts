import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { runDirectory, temporaryRunDirectory } from './run-directory.ts';

const MODULE = JSON.stringify(new URL('./run-directory.ts', import.meta.url).href);

suite('a temporary run directory', () => {
  let parent: string;
  /** Of a process that has ended. */
  let deadPid: number;
  before(() => {
    parent = mkdtempSync(join(tmpdir(), 'runs-'));
    deadPid = spawnSync(process.execPath, ['--version']).pid;
  });
  after(() => rmSync(parent, { recursive: true }));

  const WAYS_OUT = {
    'by itself': '',
    'by process.exit': 'process.exit(3);',
    'by an exception': 'throw new Error("bug");',
    'by a rejection': 'Promise.reject(new Error("bug"));',
  };
  for (const [how, end] of Object.entries(WAYS_OUT)) {
    test(`is gone when its process ends ${how}`, () => {
      const program = `
        import { existsSync } from 'node:fs';
        import { temporaryRunDirectory } from ${MODULE};
        const { path } = await temporaryRunDirectory(${JSON.stringify(parent)});
        console.log(existsSync(path));
        ${end}`;
      const { stdout } = spawnSync(process.execPath, ['--input-type=module-typescript', '-e', program]);
      assert.equal(String(stdout), 'true\n');
      assert.deepEqual(readdirSync(parent), []);
    });
  }

  test('of a process that was killed hard is removed by the next', async () => {
    const left = join(parent, `fairlead-run-${deadPid}-abc`);
    mkdirSync(join(left, 'sub'), { recursive: true });
    const others = [`fairlead-run-${process.pid}-abc`, 'fairlead-run-x', `other-${deadPid}-abc`];
    for (const name of others) mkdirSync(join(parent, name));
    const run = await temporaryRunDirectory(parent);
    assert.equal(existsSync(left), false);
    assert.ok(existsSync(run.path));
    for (const name of others) assert.ok(existsSync(join(parent, name)), name);
  });

  test('of a process that answers stays, whatever its process id is here', async () => {
    const { path, controlPlaneSocket } = runDirectory(join(parent, `fairlead-run-${deadPid}-def`));
    mkdirSync(path);
    const server = createServer().listen(controlPlaneSocket);
    await once(server, 'listening');
    await temporaryRunDirectory(parent);
    assert.ok(existsSync(path));
    server.close();
    await once(server, 'close');
    await temporaryRunDirectory(parent);
    assert.equal(existsSync(path), false);
  });
});
