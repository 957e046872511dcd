import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, readlinkSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, suite, test } from 'node:test';
import { until } from '../../test/e2e/harness/until.ts';
import { makeLogDirectory } from './log-directory.ts';
import { LogFile, rotate } from './log-file.ts';

suite('logs', () => {
  let directory: string;
  let path: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'logs-'));
    path = join(directory, 'x.log');
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  const fail = (message: string) => assert.fail(message);

  test('lines are appended, those from before the opening first', async () => {
    writeFileSync(path, 'old\n');
    const log = new LogFile(path, fail);
    log.write('early');
    assert.equal(readFileSync(path, 'utf8'), 'old\n');
    log.open();
    log.write('late');
    log.end();
    log.write('never');
    await until('the lines', () => readFileSync(path, 'utf8') === 'old\nearly\nlate\n');
  });

  test('a file that cannot be written is told of once', { skip: !existsSync('/dev/full') }, async () => {
    symlinkSync('/dev/full', path);
    const failures: string[] = [];
    const log = new LogFile(path, message => failures.push(message));
    log.open();
    log.write('one');
    await until('the failure', () => failures.length > 0);
    log.write('two');
    log.end();
    await new Promise(setImmediate);
    assert.equal(failures.length, 1);
    assert.match(failures[0] ?? '', /ENOSPC/);
  });

  test('rotation keeps one run', () => {
    rotate(path);
    assert.equal(existsSync(`${path}.1`), false);
    for (const run of ['first', 'second']) {
      writeFileSync(path, run);
      rotate(path);
      assert.equal(existsSync(path), false);
      assert.equal(readFileSync(`${path}.1`, 'utf8'), run);
    }
    writeFileSync(path, '');
    rotate(path);
    assert.equal(readFileSync(`${path}.1`, 'utf8'), 'second', 'a run without lines is none');
  });

  test('rotation leaves alone what is no file', () => {
    symlinkSync('/dev/null', path);
    rotate(path);
    assert.equal(readlinkSync(path), '/dev/null');
  });

  test('the directory is made, level by level', () => {
    const deep = join(directory, 'a', 'b');
    makeLogDirectory(deep);
    makeLogDirectory(deep);
    assert.ok(existsSync(deep));
  });

  test('where none can be made, it says so in words', () => {
    writeFileSync(path, '');
    assert.throws(
      () => makeLogDirectory(path),
      /^Error: Logs cannot be written to \S+: \S+ is a file\. Choose another/,
    );
    assert.throws(() => makeLogDirectory(join(path, 'below')), /x\.log is a file/);
    if (existsSync('/proc'))
      assert.throws(() => makeLogDirectory('/proc/nope/deeper'), /no directory can be made there/);
  });
});
