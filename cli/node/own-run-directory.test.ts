import assert from 'node:assert/strict';
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { findRunDirectory, ownRunDirectory } from './own-run-directory.ts';

function parentDirectory(t: TestContext): string {
  const parent = mkdtempSync(join(tmpdir(), 'fairlead-own-'));
  t.after(() => rmSync(parent, { recursive: true }));
  return parent;
}

/** As the kubelet makes an emptyDir, on a node whose umask does not count. */
function volume(t: TestContext, mode = 0o777): string {
  const path = join(parentDirectory(t), 'run');
  mkdirSync(path);
  chmodSync(path, mode);
  return path;
}

const userDirectory = `user-${process.geteuid?.()}`;

test('a new run directory is its user’s alone', t => {
  const path = join(parentDirectory(t), 'deep', 'run');
  assert.equal(findRunDirectory(path).path, path);
  assert.equal(ownRunDirectory(path).path, path);
  assert.equal(statSync(path).mode & 0o777, 0o700);
  assert.equal(ownRunDirectory(path).path, path);
});

test('one of this user that others may only look into is used as it is', t => {
  const path = volume(t, 0o755);
  assert.equal(ownRunDirectory(path).path, path);
  assert.equal(findRunDirectory(path).path, path);
});

for (const mode of [0o777, 0o2777, 0o1777, 0o770]) {
  test(`one that others may write to (${mode.toString(8)}) gets a directory of the user’s alone, the same for all`, t => {
    const path = volume(t, mode);
    const inside = join(path, userDirectory);
    assert.equal(ownRunDirectory(path).path, inside);
    assert.equal(statSync(inside).mode & 0o777, 0o700);
    assert.equal(ownRunDirectory(path).path, inside);
    assert.equal(findRunDirectory(path).path, inside);
  });
}

test('what somebody else put there is refused', { skip: process.geteuid?.() !== 0 && 'only root gives away' }, t => {
  const spoiled: readonly ((path: string) => void)[] = [
    path => symlinkSync(tmpdir(), path),
    path => mkdirSync(path, { mode: 0o755 }),
    path => {
      mkdirSync(path, { mode: 0o700 });
      chownSync(path, 12_345, 12_345);
    },
  ];
  for (const spoil of spoiled) {
    const path = volume(t);
    spoil(join(path, userDirectory));
    assert.throws(() => ownRunDirectory(path), /not a directory of this user alone/);
  }
  const path = volume(t);
  writeFileSync(join(path, userDirectory), '');
  assert.throws(() => ownRunDirectory(path));
});

test('one that belongs to another user gets a directory inside', { skip: process.geteuid?.() !== 0 }, t => {
  const path = volume(t, 0o755);
  chownSync(path, 12_345, 12_345);
  assert.equal(ownRunDirectory(path).path, join(path, userDirectory));
});
