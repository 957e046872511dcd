import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { RowReuse } from './row-reuse.ts';

describe('row reuse', () => {
  it('gives a retired row away at once when nobody has anything outstanding', () => {
    const reuse = new RowReuse();
    assert.equal(reuse.reclaim(), undefined);
    reuse.retire(4);
    assert.equal(reuse.isRetired(4), true);
    assert.equal(reuse.reclaim(), 4);
    assert.equal(reuse.isRetired(4), false);
    assert.equal(reuse.reclaim(), undefined);
  });

  it('waits for every reservation made before the retirement, and for no later one', () => {
    const reuse = new RowReuse();
    const [before, alsoBefore] = [reuse.enter(), reuse.enter()];
    reuse.retire(1);
    const later = reuse.enter();
    reuse.leave(before);
    assert.equal(reuse.reclaim(), undefined);
    reuse.leave(alsoBefore);
    assert.equal(reuse.reclaim(), 1);
    reuse.retire(2);
    assert.equal(reuse.reclaim(), undefined);
    reuse.leave(later);
    assert.equal(reuse.reclaim(), 2);
  });

  it('waits for a reservation older than an earlier retirement that was taken back', () => {
    const reuse = new RowReuse();
    const oldest = reuse.enter();
    reuse.retire(1);
    const newer = reuse.enter();
    reuse.revive(1);
    reuse.retire(2);
    reuse.leave(newer);
    assert.equal(reuse.reclaim(), undefined);
    reuse.leave(oldest);
    assert.equal(reuse.reclaim(), 2);
    assert.equal(reuse.reclaim(), undefined);
  });

  it('counts from the last retirement of a row that came back', () => {
    const reuse = new RowReuse();
    reuse.retire(1);
    reuse.revive(1);
    const epoch = reuse.enter();
    reuse.retire(1);
    assert.equal(reuse.reclaim(), undefined);
    reuse.leave(epoch);
    assert.equal(reuse.reclaim(), 1);
  });
});
