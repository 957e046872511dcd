import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { openUsageLog } from './usage-log.ts';

describe('usage log', () => {
  const directory = mkdtempSync(join(tmpdir(), 'fairlead-usage-'));
  after(() => rmSync(directory, { recursive: true }));

  it('appends one line of JSON a record', async () => {
    const path = join(directory, 'usage.jsonl');
    for (const consumer of ['a', 'b\n"']) {
      const log = openUsageLog(path, assert.fail);
      log.write({ consumer, tokens: 1 });
      await log.close();
    }
    assert.equal(readFileSync(path, 'utf8'), '{"consumer":"a","tokens":1}\n{"consumer":"b\\n\\"","tokens":1}\n');
  });

  for (const [what, path] of [
    ['a folder that is not there', join(directory, 'missing', 'usage.jsonl')],
    ['a full disk', '/dev/full'],
  ] as const) {
    it(`tells once that records are lost: ${what}`, async () => {
      const { promise, resolve } = Promise.withResolvers<string>();
      const reasons: string[] = [];
      const log = openUsageLog(path, reason => {
        reasons.push(reason);
        resolve(reason);
      });
      log.write({ a: 1 });
      assert.match(await promise, /ENOENT|ENOSPC/);
      log.write({ a: 2 });
      await log.close();
      assert.equal(reasons.length, 1);
    });
  }

  it('goes on when the file can be opened again', async t => {
    t.mock.method(performance, 'now', () => clockMs);
    let clockMs = 0;
    const folder = join(directory, 'later');
    const { promise, resolve } = Promise.withResolvers<string>();
    const log = openUsageLog(join(folder, 'usage.jsonl'), resolve);
    log.write({ a: 1 });
    await promise;
    mkdirSync(folder);
    clockMs += 1_000;
    log.write({ a: 2 });
    await log.close();
    assert.equal(readFileSync(join(folder, 'usage.jsonl'), 'utf8'), '{"a":2}\n');
  });
});
