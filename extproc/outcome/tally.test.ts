import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Histogram } from './histogram.ts';
import { RecentFailures } from './recent-failures.ts';
import { Tally } from './tally.ts';

describe('a tally', () => {
  it('counts by label and hands over plain data', () => {
    const tally = new Tally();
    tally.request('llama', 'gpu', '200');
    tally.request('llama', 'gpu', '200');
    tally.request('', '', 'model_not_found');
    tally.tokens('llama', { prompt: 10, completion: 3 });
    tally.tokens('llama', { prompt: 5, completion: 0 });
    tally.inFlight('llama', 1);
    tally.inFlight('llama', -1);
    tally.settled('usage');
    tally.picked(0.015);
    const snapshot = structuredClone(tally.snapshot());
    assert.deepEqual(snapshot.requests, [
      { model: 'llama', backend: 'gpu', code: '200', count: 2 },
      { model: '', backend: '', code: 'model_not_found', count: 1 },
    ]);
    assert.deepEqual(snapshot.tokens, [
      { model: 'llama', kind: 'prompt', count: 15 },
      { model: 'llama', kind: 'completion', count: 3 },
    ]);
    assert.deepEqual(snapshot.inFlight, [{ model: 'llama', count: 0 }]);
    assert.deepEqual(snapshot.settlements, [{ kind: 'usage', count: 1 }]);
    const { bounds, counts, sum } = snapshot.pickSeconds;
    assert.equal(bounds[counts.indexOf(1)], 2e-5);
    assert.ok(Math.abs(sum - 1.5e-5) < 1e-12);
  });
});

describe('a tally of models that go', () => {
  it('keeps the counts of one for ten minutes after it was served or had a request, and then drops them', () => {
    const tally = new Tally();
    for (const model of ['stays', 'goes', 'busy', '']) {
      tally.request(model, 'gpu', '200');
      tally.tokens(model, { prompt: 1, completion: 1 });
    }
    tally.inFlight('busy', 1);
    const models = () => [
      ...new Set([tally.snapshot().requests, tally.snapshot().tokens].flat().map(({ model }) => model)),
    ];
    const isServed = (model: string) => model === 'stays';
    tally.forgetGone(() => true, 5_000_000);
    tally.forgetGone(isServed, 5_000_000 + 599_999);
    assert.deepEqual(models(), ['stays', 'goes', 'busy', '']);
    tally.forgetGone(isServed, 5_000_000 + 600_000);
    assert.deepEqual(models(), ['stays', 'busy', '']);
    tally.inFlight('busy', -1);
    tally.forgetGone(isServed, 5_000_000 + 600_001);
    assert.deepEqual(models(), ['stays', 'busy', '']);
    tally.forgetGone(isServed, 5_000_000 + 2_000_000);
    assert.deepEqual(models(), ['stays', '']);
    assert.deepEqual(tally.snapshot().inFlight, []);
  });

  it('gives one that was never seen served its ten minutes as well', () => {
    const tally = new Tally();
    tally.request('gone', '', 'model_not_found');
    tally.forgetGone(() => false, 5_000_000);
    assert.equal(tally.snapshot().requests.length, 1);
    tally.forgetGone(() => false, 5_600_000);
    assert.equal(tally.snapshot().requests.length, 0);
  });
});

describe('a histogram', () => {
  it('counts each observation once, in the first bucket whose bound it does not exceed', () => {
    const bounds = [1, 2, 5];
    fc.assert(
      fc.property(fc.array(fc.constantFrom(0, 0.5, 1, 1.5, 2, 3, 5, 5.1, 100)), values => {
        const histogram = new Histogram(bounds);
        for (const value of values) histogram.observe(value);
        const { counts, sum } = histogram.snapshot();
        const upTo = (bound: number) => values.filter(value => value <= bound).length;
        assert.deepEqual(counts, [upTo(1), upTo(2) - upTo(1), upTo(5) - upTo(2), values.length - upTo(5)]);
        assert.ok(Math.abs(sum - values.reduce<number>((a, b) => a + b, 0)) < 1e-6);
      }),
    );
  });
});

describe('recent failures', () => {
  const attempt = (atMs: number) => ({ atMs, id: `${atMs}`, failure: 'reset' as const, status: 0, flags: ['UC'] });

  it('are the last five of an endpoint, newest first', () => {
    const failures = new RecentFailures();
    for (let atMs = 1; atMs <= 8; atMs++) failures.add('10.0.0.1:80', attempt(atMs));
    failures.add('10.0.0.2:80', attempt(9));
    assert.deepEqual(
      failures.of('10.0.0.1:80').map(({ atMs }) => atMs),
      [8, 7, 6, 5, 4],
    );
    assert.deepEqual(failures.of('10.0.0.3:80'), []);
  });

  it('forget the endpoints that failed longest ago', () => {
    const failures = new RecentFailures();
    for (let i = 0; i < 1_000; i++) failures.add(`${i}`, attempt(i));
    failures.add('0', attempt(1_000));
    failures.add('new', attempt(1_001));
    assert.equal(failures.of('0').length, 2);
    assert.equal(failures.of('new').length, 1);
    assert.deepEqual(failures.of('1'), []);
  });
});
