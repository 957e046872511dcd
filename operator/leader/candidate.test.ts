import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import {
  afterFailedWrite,
  afterRead,
  afterWrite,
  type Candidate,
  leaderState,
  newCandidate,
  nextStep,
  DEFAULT_TIMING as TIMING,
} from './candidate.ts';
import { type Lease, readLease } from './lease.ts';

const lease = (holder: string, resourceVersion = '1', spec: Readonly<Record<string, unknown>> = {}): Lease =>
  readLease({ metadata: { resourceVersion }, spec: { holderIdentity: holder, ...spec } }) ?? assert.fail('no lease');
/** Of another, who says for how long. */
const lasting = (leaseDurationSeconds: number) => lease('other', '1', { leaseDurationSeconds });

const NEW = newCandidate('me');
const read = (candidate: Candidate, seen: Lease | undefined, nowMs: number) =>
  afterRead(candidate, seen, nowMs, TIMING);
const leading = afterWrite(read(NEW, undefined, 0), lease('me'), 1_000);
const stateAt = (candidate: Candidate, nowMs: number) => leaderState(candidate, nowMs, TIMING);

/** The first moment at which it would write, to the millisecond. */
function writesAtMs(candidate: Candidate): number {
  for (let nowMs = 0; nowMs <= 200_000; nowMs += 1) if (nextStep(candidate, nowMs) === 'write') return nowMs;
  return Number.POSITIVE_INFINITY;
}

suite('when a candidate may write', () => {
  const cases: readonly [string, Candidate, number][] = [
    ['never before it has read', NEW, Number.POSITIVE_INFINITY],
    ['at once where there is no lease', read(NEW, undefined, 5), 0],
    ['at once where nobody holds it', read(NEW, lease(''), 5), 0],
    ['15 s after it saw a lease of another first', read(NEW, lease('other'), 5), 15_005],
    ['no later when it sees the same again', read(read(NEW, lease('other'), 5), lease('other'), 9_000), 15_005],
    ['15 s after it was renewed', read(read(NEW, lease('other'), 5), lease('other', '2'), 9_000), 24_000],
    ['no sooner because the lease says so', read(NEW, lasting(1), 0), 15_000],
    ['later when the lease says so', read(NEW, lasting(20), 0), 20_000],
    ['not for ever because it says so', read(NEW, lasting(999_999), 0), 60_000],
    ['as late though the lease was deleted', read(read(NEW, lease('other'), 5), undefined, 1_000), 15_005],
    ['at once when it was given up', read(read(NEW, lease('other'), 5), lease(''), 1_000), 0],
    ['at once when it is its own', read(NEW, lease('me'), 5), 0],
    ['not after a write that failed: it reads first', afterFailedWrite(leading), Number.POSITIVE_INFINITY],
  ];
  for (const [name, candidate, expectedMs] of cases) test(name, () => assert.equal(writesAtMs(candidate), expectedMs));
});

suite('what a candidate is', () => {
  test('it leads from what it wrote, not from what it reads', () => {
    assert.equal(stateAt(read(NEW, lease('me'), 5), 5), 'standby');
    assert.equal(stateAt(leading, 1_000), 'leading');
  });

  test('it leads for 10 s since the last renewal was sent, whenever the answer came', () => {
    assert.equal(stateAt(leading, 10_999), 'leading');
    assert.equal(stateAt(leading, 11_000), 'suspended');
    assert.equal(stateAt(afterFailedWrite(leading), 10_999), 'leading');
    assert.equal(stateAt(afterWrite(leading, lease('me'), 8_000), 17_999), 'leading');
  });

  test('to read its own lease prolongs nothing', () => {
    assert.equal(stateAt(read(leading, lease('me'), 10_000), 11_000), 'suspended');
  });

  test('it leads no more once another has it or somebody emptied it, but still when it was deleted', () => {
    assert.equal(stateAt(read(leading, lease('other'), 2_000), 2_000), 'standby');
    assert.equal(stateAt(read(leading, lease(''), 2_000), 2_000), 'standby');
    assert.equal(stateAt(read(leading, undefined, 2_000), 2_000), 'leading');
  });

  test('a write that another holder was put into is none of ours', () => {
    assert.equal(stateAt(afterWrite(NEW, lease('other'), 5), 5), 'standby');
  });
});
