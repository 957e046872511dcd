import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import fc from 'fast-check';
import { type KeptTable, TableCache } from './table-cache.ts';
import { gatewayPart, modelPart } from './table-parts.fixture.ts';

const kept: KeptTable = { receivedAtMs: 1_795_000_000_000, resources: [gatewayPart('1'), modelPart('ml/a', '7')] };

async function cacheFile(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'fairlead-table-'));
  t.after(() => rm(directory, { recursive: true }));
  return join(directory, 'table');
}

function plain(table: KeptTable | string | undefined): unknown {
  if (typeof table !== 'object') return table;
  const { receivedAtMs, resources } = table;
  return {
    receivedAtMs,
    resources: resources.map(({ typeUrl, name, version, body }) => ({ typeUrl, name, version, body: [...body] })),
  };
}

async function saved(file: string, ...tables: KeptTable[]): Promise<TableCache> {
  const cache = new TableCache(file, assert.fail);
  for (const table of tables) cache.save(table);
  await cache.close();
  return cache;
}

test('what is saved is loaded; the file is for its owner only and nothing else is left', async t => {
  const file = await cacheFile(t);
  const cache = await saved(file, kept);
  assert.deepEqual(plain(await cache.load()), plain(kept));
  assert.equal((await stat(file)).mode & 0o777, 0o600);
  assert.deepEqual(await readdir(join(file, '..')), ['table']);
});

test('of many tables saved, the last is kept', async t => {
  const file = await cacheFile(t);
  const cache = await saved(file, ...[1, 2, 3].map(receivedAtMs => ({ ...kept, receivedAtMs })));
  assert.equal((plain(await cache.load()) as KeptTable).receivedAtMs, 3);
});

test('no file is no table', async t => {
  assert.equal(await new TableCache(await cacheFile(t), assert.fail).load(), undefined);
});

test('a damaged file is told from a good one, wherever it is damaged', async t => {
  const file = await cacheFile(t);
  const cache = await saved(file, kept);
  const good = await readFile(file);
  await fc.assert(
    fc.asyncProperty(fc.nat({ max: good.length - 1 }), fc.integer({ min: 1, max: 255 }), async (at, flip) => {
      const damaged = Buffer.from(good);
      damaged[at] = (damaged[at] as number) ^ flip;
      await writeFile(file, damaged);
      assert.equal(typeof (await cache.load()), 'string');
      await writeFile(file, good.subarray(0, at));
      assert.equal(typeof (await cache.load()), 'string');
    }),
  );
});

test('a file that cannot be written is reported, and the one before stays', async t => {
  const file = await cacheFile(t);
  await saved(file, kept);
  const failures: string[] = [];
  const elsewhere = new TableCache(join(file, 'below-a-file'), reason => failures.push(reason));
  elsewhere.save(kept);
  await elsewhere.close();
  assert.equal(failures.length, 1);
  assert.deepEqual(plain(await new TableCache(file, assert.fail).load()), plain(kept));
});
