import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import fc from 'fast-check';
import { until } from '../server/raw-grpc-call.fixture.ts';
import type { Counter, CounterState, Window } from './limit-store.ts';
import { MemoryStore } from './memory-store.ts';
import { CounterFile } from './saved-counters.ts';

const startMs = 1_790_000_000_000;
const dayMs = 86_400_000;
const month: Counter = counter('month', { kind: 'calendar', startMs, endMs: startMs + 30 * dayMs });
const hour: Counter = counter('hour', { kind: 'sliding', periodMs: 3_600_000 });
const day: Counter = counter('day', { kind: 'sliding', periodMs: dayMs });
const minute: Counter = counter('minute', { kind: 'sliding', periodMs: 60_000 });
const slots: Counter = counter('slots', { kind: 'held' });
const all = [month, hour, day, minute, slots];

function counter(key: string, window: Window): Counter {
  return { key, limit: 100, window, shadow: false };
}

function storeAt(clock: { nowMs: number }): MemoryStore {
  return new MemoryStore({ nowMs: () => clock.nowMs, agents: () => 1 });
}

function used(store: MemoryStore, counters = all): number[] {
  return store.read(counters).map(({ used }: CounterState) => used);
}

/** A store after a restart, by what its file would hold. */
function restarted(store: MemoryStore, clock: { nowMs: number }): MemoryStore {
  const next = storeAt(clock);
  next.restore(JSON.parse(JSON.stringify(store.save())));
  return next;
}

describe('saved counters', () => {
  it('are those of days, months and hours', () => {
    const clock = { nowMs: startMs };
    const store = storeAt(clock);
    store.add(all.map(each => ({ counter: each, amount: 7 })));
    assert.deepEqual(used(restarted(store, clock)), [7, 7, 7, 0, 0]);
  });

  it('leave out what was reserved and not settled', () => {
    const clock = { nowMs: startMs };
    const store = storeAt(clock);
    const charges = all.map(each => ({ counter: each, amount: 7 }));
    store.reserve('settled', charges);
    store.reserve('open', charges);
    clock.nowMs += 60_000;
    store.settle('settled', charges, [9, 9, 2, 2, 1]);
    assert.deepEqual(used(restarted(store, clock)), [9, 9, 2, 0, 0]);
    assert.deepEqual(used(store), [16, 16, 9, 9, 7]);
  });

  it('go on aging while nobody counts', () => {
    const clock = { nowMs: startMs };
    const store = storeAt(clock);
    const charges = all.map(each => ({ counter: each, amount: 1 }));
    store.add(charges);
    clock.nowMs += 1_800_000;
    store.add(charges);
    const saved = store.save();
    const usedAt = (nowMs: number): number[] => {
      const next = storeAt({ nowMs });
      next.restore(saved);
      return used(next, [month, hour, day]);
    };
    assert.deepEqual(usedAt(startMs + 3_600_000 - 1), [2, 2, 2]);
    assert.deepEqual(usedAt(startMs + 3_660_000), [2, 1, 2]);
    assert.deepEqual(usedAt(startMs + 5_460_000), [2, 0, 2]);
    assert.deepEqual(usedAt(startMs + 31 * dayMs), [0, 0, 0]);
    assert.deepEqual(usedAt(startMs - dayMs), [2, 2, 2], 'by a clock that was set back');
  });

  it('are the same whenever the process is replaced', () => {
    const steps = fc.array(fc.record({ elapsedMs: fc.nat(4_000_000), amount: fc.nat(30), restarts: fc.boolean() }), {
      maxLength: 40,
    });
    fc.assert(
      fc.property(steps, sequence => {
        const clock = { nowMs: startMs };
        const steady = storeAt(clock);
        let replaced = storeAt(clock);
        for (const { elapsedMs, amount, restarts } of sequence) {
          for (const store of [steady, replaced])
            store.add([month, hour, day].map(each => ({ counter: each, amount })));
          clock.nowMs += elapsedMs;
          if (restarts) replaced = restarted(replaced, clock);
          const counters = [month, hour, day];
          assert.deepEqual(replaced.read(counters), steady.read(counters));
        }
      }),
    );
  });
});

describe('the file of counters', () => {
  it('carries them over a restart; it is for its owner only and nothing else is left', async t => {
    const path = await counterFile(t);
    const clock = { nowMs: startMs };
    const store = storeAt(clock);
    const file = await CounterFile.open({ path, store, failed: assert.fail });
    spent(store, 3);
    await file.close();
    assert.equal((await stat(path)).mode & 0o777, 0o600);
    assert.deepEqual(await readdir(join(path, '..')), ['counters.json']);

    const next = storeAt(clock);
    const again = await CounterFile.open({ path, store: next, failed: assert.fail });
    assert.deepEqual(used(next, [month]), [3]);
    await again.close();
  });

  it('is not written for what is not saved', async t => {
    const path = await counterFile(t);
    const store = storeAt({ nowMs: startMs });
    const file = await CounterFile.open({ path, store, failed: assert.fail });
    const charges = [minute, slots].map(each => ({ counter: each, amount: 1 }));
    store.add(charges);
    store.reserve('settled', charges);
    store.settle('settled', charges, [2, 1]);
    store.reserve('open', [{ counter: month, amount: 1 }]);
    await file.close();
    await assert.rejects(stat(path));
  });

  it('is written without being closed', async t => {
    const path = await counterFile(t);
    const store = storeAt({ nowMs: startMs });
    const file = await CounterFile.open({ path, store, failed: assert.fail });
    t.after(() => file.close());
    spent(store, 3);
    const directory = join(path, '..');
    let names: string[] = [];
    await until(() => {
      readdir(directory).then(found => {
        names = found;
      });
      return names.includes('counters.json');
    });
    assert.match(await readFile(path, 'utf8'), /"month"/);
  });

  for (const [what, content] of [
    ['is empty', ''],
    ['was cut', '{"version":1,"wallMs":17'],
    ['is of another version', '{"version":2,"wallMs":1,"steadyMs":1,"sliding":[],"calendar":[]}'],
    ['counts backwards', saved('"pairs":[9,1,8,1]')],
    ['counts in the future', saved('"pairs":[61,1]')],
    ['counts below nothing', saved('"pairs":[9,-1]')],
    ['has half a pair', saved('"pairs":[9]')],
  ] as const) {
    it(`is told and ignored where it ${what}, and then replaced`, async t => {
      const path = await counterFile(t);
      await writeFile(path, content);
      const told: string[] = [];
      const store = storeAt({ nowMs: startMs });
      const file = await CounterFile.open({ path, store, failed: reason => told.push(reason) });
      assert.deepEqual(told, ['it does not hold saved counters']);
      assert.equal(store.size, 0);
      spent(store, 3);
      await file.close();
      assert.match(await readFile(path, 'utf8'), /"month"/);
    });
  }

  it('is told once where it cannot be read nor written, and nothing else happens', async t => {
    const path = await counterFile(t);
    await mkdir(join(path, 'in-the-way'), { recursive: true });
    const told: string[] = [];
    const store = storeAt({ nowMs: startMs });
    const file = await CounterFile.open({ path, store, failed: reason => told.push(reason) });
    assert.equal(told.length, 1);
    spent(store, 3);
    await until(() => told.length === 2);
    spent(store, 3);
    await file.close();
    assert.equal(told.length, 2);
    assert.deepEqual(used(store, [month]), [6]);
    assert.deepEqual(await readdir(join(path, '..')), ['counters.json']);
  });
});

async function counterFile(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'fairlead-counters-'));
  t.after(() => rm(directory, { recursive: true }));
  return join(directory, 'counters.json');
}

function spent(store: MemoryStore, amount: number): void {
  store.add([{ counter: month, amount }]);
}

/** As it was saved in bucket 60 of a window of an hour. */
function saved(pairs: string): string {
  const window = `{"key":"a","periodMs":3600000,${pairs}}`;
  return `{"version":1,"wallMs":3600000,"steadyMs":3600000,"sliding":[${window}],"calendar":[]}`;
}
