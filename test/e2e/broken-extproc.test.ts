import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, suite, test } from 'node:test';
import { stringify } from 'yaml';
import { Child } from './harness/child.ts';
import { model } from './harness/gateway.ts';
import { isRunning } from './harness/processes.ts';
import { until } from './harness/until.ts';

// Whoever started extproc starts it again when it has ended, and only then.
suite('extproc that cannot go on ends, and says why', { timeout: 60_000 }, () => {
  let base: string;
  let children: Child[];
  const start = (...args: readonly string[]) => {
    const child = new Child(...args);
    children.push(child);
    return child;
  };
  const startExtproc = () =>
    start('extproc', '--control-plane', `unix:${join(base, 'operator.sock')}`, '--run-dir', join(base, 'run'));
  const startOperator = () => start('operator', base, '--listen', `unix:${join(base, 'operator.sock')}`);

  const exitCode = async (child: Child) => {
    await until(`pid ${child.pid} to end by itself`, () => !isRunning(child.pid));
    return child.end('SIGKILL');
  };

  beforeEach(() => {
    base = mkdtempSync(join(tmpdir(), 'fairlead-e2e-'));
    children = [];
  });
  afterEach(async () => {
    await Promise.all(children.map(child => child.end('SIGKILL')));
    rmSync(base, { recursive: true, force: true });
  });

  test('its agent dies', async () => {
    mkdirSync(join(base, 'run', 'envoy-ads.sock'), { recursive: true });
    startOperator();
    const extproc = startExtproc();
    assert.equal(await exitCode(extproc), 1);
    assert.match(extproc.output, /fairlead: .*envoy-ads\.sock/);
  });

  test('told to stop, it writes the last table before it ends', async () => {
    startOperator();
    const first = startExtproc();
    const version = async (child: Child, text: string) => {
      await child.untilPrinted(text);
      return /"event":"table\.(?:applied|received)","version":"([^"]+)"/.exec(
        child.output.slice(child.output.indexOf(text)),
      )?.[1];
    };
    await version(first, '"event":"table.applied"');
    // Sooner than a second after the first table is written: this one waits for its turn.
    await until('table.bin', () => existsSync(join(base, 'run', 'table.bin')));
    writeFileSync(join(base, 'm.yaml'), stringify(model('m', ['127.0.0.1:9'])));
    const newest = await version(first, '"event":"table.applied","version":"2-');
    assert.equal(await first.end('SIGTERM'), 0);
    await Promise.all(children.map(child => child.end('SIGKILL')));
    const second = startExtproc();
    assert.equal(await version(second, '"event":"table.received"'), newest);
    assert.equal(await second.end('SIGTERM'), 0);
  });

  test('another one serves the run directory, and goes on with it', async () => {
    startOperator();
    const first = startExtproc();
    await first.untilPrinted('"event":"table.applied"');
    for (const file of ['table.bin', 'envoy-ads.sock']) await until(file, () => existsSync(join(base, 'run', file)));
    const socket = statSync(join(base, 'run', 'envoy-ads.sock')).ino;
    const second = startExtproc();
    assert.equal(await exitCode(second), 1);
    assert.match(second.output, /fairlead: another process is listening on .*\.sock/);
    assert.equal(statSync(join(base, 'run', 'envoy-ads.sock')).ino, socket);
    assert.equal(await first.end('SIGTERM'), 0);
  });
});
