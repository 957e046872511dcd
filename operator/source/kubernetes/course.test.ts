import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { type Course, FIRST_COURSE, nextStep, type Outcome } from './course.ts';

const reason = 'test';
const failed = (livedMs: number): Outcome => ({ kind: 'failed', code: 0, reason, livedMs });
const course = (list: Course['list'], failures: number): Course => ({ list, failures });

/** Without jitter: random is 1. */
const STEPS: readonly [what: string, Course, Outcome, { course: Course; delayMs: number; relist: boolean }][] = [
  [
    'a list: the watch follows at once',
    course('paged', 2),
    { kind: 'listed' },
    { course: course('paged', 2), delayMs: 0, relist: false },
  ],
  [
    'a list in one piece: the next is in pages again',
    course('whole', 1),
    { kind: 'listed' },
    { course: course('paged', 1), delayMs: 0, relist: false },
  ],
  [
    'no streaming: pages at once',
    FIRST_COURSE,
    { kind: 'refused', reason },
    { course: course('paged', 0), delayMs: 0, relist: true },
  ],
  [
    'a watch that ended in time: another at once',
    course('streamed', 3),
    { kind: 'ended', livedMs: 30_000 },
    { course: course('streamed', 0), delayMs: 0, relist: false },
  ],
  [
    'a good watch after pages: the next list may be streamed again',
    course('paged', 1),
    { kind: 'ended', livedMs: 30_000 },
    { course: course('streamed', 0), delayMs: 0, relist: false },
  ],
  [
    'a watch that ended soon, but in order: another at once, and nothing is forgotten',
    course('streamed', 3),
    { kind: 'ended', livedMs: 2_000 },
    { course: course('streamed', 3), delayMs: 0, relist: false },
  ],
  [
    'a watch that ended at once: a wait',
    course('streamed', 1),
    { kind: 'ended', livedMs: 10 },
    { course: course('streamed', 2), delayMs: 400, relist: false },
  ],
  [
    'a first failure: a short wait',
    FIRST_COURSE,
    failed(0),
    { course: course('streamed', 1), delayMs: 200, relist: false },
  ],
  [
    'a failure after a good watch: a short wait',
    course('streamed', 9),
    failed(60_000),
    { course: course('streamed', 1), delayMs: 200, relist: false },
  ],
  [
    'many failures: no longer wait than the longest',
    course('streamed', 99),
    failed(0),
    { course: course('streamed', 100), delayMs: 10_000, relist: false },
  ],
  [
    'an expired watch: a list as before',
    course('paged', 0),
    { kind: 'expired', reason, livedMs: 9 },
    { course: course('paged', 1), delayMs: 200, relist: true },
  ],
  [
    'pages that expired: a list in one piece',
    course('paged', 0),
    { kind: 'expired', reason, livedMs: 0 },
    { course: course('whole', 1), delayMs: 200, relist: true },
  ],
];

suite('what follows an outcome', () => {
  for (const [what, before, outcome, expected] of STEPS) {
    test(what, () => assert.deepEqual(nextStep(before, outcome, 1), expected));
  }

  test('as long as the server asks for', () => {
    assert.equal(
      nextStep(FIRST_COURSE, { ...failed(0), kind: 'failed', code: 429, retryAfterMs: 7_000 } as Outcome, 0).delayMs,
      7_000,
    );
  });

  test('waits between half and all of the backoff, and grows', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 200 }), fc.double({ min: 0, max: 1, noNaN: true }), (failures, random) => {
        const { delayMs, course: after } = nextStep(course('streamed', failures), failed(0), random);
        const fullMs = Math.min(10_000, 200 * 2 ** failures);
        assert.ok(delayMs >= fullMs / 2 && delayMs <= fullMs, `${delayMs} of ${fullMs}`);
        assert.equal(after.failures, failures + 1);
      }),
    );
  });

  test('never makes a storm: short watches and expiries in a row wait ever longer, whatever is mixed', () => {
    const bad = fc.constantFrom<Outcome>(
      failed(0),
      { kind: 'expired', reason, livedMs: 100 },
      { kind: 'expired', reason, livedMs: 0 },
      { kind: 'ended', livedMs: 100 },
      { kind: 'listed' },
    );
    fc.assert(
      fc.property(fc.array(bad, { minLength: 1, maxLength: 60 }), outcomes => {
        let at = FIRST_COURSE;
        let waits = 0;
        for (const outcome of outcomes) {
          const next = nextStep(at, outcome, 0);
          if (outcome.kind !== 'listed') assert.ok(next.delayMs >= Math.min(5_000, 100 * 2 ** waits++));
          at = next.course;
        }
      }),
    );
  });
});
