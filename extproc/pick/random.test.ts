import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { mulberry32, processSeed } from './random.ts';

describe('random', () => {
  it('is the sequence that mulberry32 has elsewhere', () => {
    const random = mulberry32(1);
    assert.deepEqual([random(), random(), random()], [0.6270739405881613, 0.002735721180215478, 0.5274470399599522]);
  });

  it('is uniform in [0, 1)', () => {
    const random = mulberry32(42);
    const tenths = new Array<number>(10).fill(0);
    for (let draw = 0; draw < 100_000; draw++) {
      const number = random();
      assert.ok(number >= 0 && number < 1);
      const tenth = Math.floor(number * 10);
      tenths[tenth] = (tenths[tenth] ?? 0) + 1;
    }
    for (const count of tenths) assert.ok(Math.abs(count - 10_000) < 400, `${count} of 100000`);
  });

  it('has another seed in every process', () => {
    assert.ok(new Set(Array.from({ length: 20 }, processSeed)).size > 15);
  });
});
