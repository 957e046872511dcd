import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { consumerStatusSchema, type StatusDocument } from '../../crds/status.ts';
import { type BudgetState, BudgetStateSchema, NodeReportSchema } from '../../proto/gen/fairlead/v1/report_pb.js';
import type { ConnectedAgent } from '../publish/publisher.ts';
import { isExhausted, nextSpend, reportedBudgets, type Spend } from './spend.ts';
import { transitions } from './transitions.ts';

const NANO = 1_000_000_000n;
const JANUARY_MS = Date.UTC(2026, 0, 1);
const FEBRUARY_MS = Date.UTC(2026, 1, 1);
const MARCH_MS = Date.UTC(2026, 2, 1);

function state(spent: bigint, period: 'january' | 'february' = 'january', consumer = 'ml/a'): BudgetState {
  const [start, end] = period === 'january' ? [JANUARY_MS, FEBRUARY_MS] : [FEBRUARY_MS, MARCH_MS];
  const bounds = { periodStartMs: BigInt(start), periodEndMs: BigInt(end) };
  return create(BudgetStateSchema, { consumer, ...bounds, spent, amount: 10n * NANO, currency: 'EUR' });
}

function agent(nodeId: string, ...budgets: readonly BudgetState[]): ConnectedAgent {
  return { nodeId, report: create(NodeReportSchema, { nodeId, budgets: [...budgets] }), refused: [] };
}

const budget = { amount: '10.00', currency: 'EUR', period: 'month', timeZone: 'UTC', warnAt: 80 } as const;
const next = (before: Spend | undefined, reported: BudgetState | undefined, quietMs: number) =>
  nextSpend(before, reported, { quietMs, nowMs: JANUARY_MS, budget });
const spent = (reported: BudgetState) => next(undefined, reported, 0).spend ?? assert.fail();

test('of what agents report the latest counts', () => {
  const first = state(9n * NANO);
  const more = state(9n * NANO + 1n);
  const later = state(8n * NANO, 'february');
  assert.equal(reportedBudgets([agent('a', first), agent('b', more)])?.get('ml/a')?.spent, more.spent);
  assert.equal(reportedBudgets([agent('a', later), agent('b', more)])?.get('ml/a')?.spent, later.spent);
  assert.deepEqual([...(reportedBudgets([agent('a')]) ?? [])], []);
  assert.equal(reportedBudgets([{ nodeId: 'a', report: undefined, refused: [] }]), undefined);
});

test('sums are told exactly', () => {
  assert.deepEqual(spent(state(8n * NANO + 500_000_000n)), {
    amount: '8.50',
    currency: 'EUR',
    limit: '10.00',
    periodEnd: '2026-02-01T00:00:00Z',
  });
  assert.equal(spent(state(1n)).amount, '0.000000001');
  const largest = 9_000_000n * NANO;
  fc.assert(
    fc.property(fc.bigInt({ min: 0n, max: largest }), fc.bigInt({ min: 0n, max: largest }), (one, other) => {
      const told = spent({ ...state(one), amount: other });
      assert.equal(isExhausted(told), one >= other);
      assert.ok(consumerStatusSchema.safeParse({ spend: told }).success);
    }),
  );
});

test('the first of a period and its end are told at once, what is between at its pace', () => {
  const before = spent(state(8n * NANO));
  const grown = state(9n * NANO);
  assert.deepEqual(next(before, grown, 10_000), { spend: before, waitMs: 20_000 });
  assert.equal(next(before, grown, 30_000).spend?.amount, '9.00');
  assert.equal(next(before, state(10n * NANO), 0).spend?.amount, '10.00');
  assert.equal(next(before, state(8n * NANO, 'february'), 0).spend?.periodEnd, '2026-03-01T00:00:00Z');
  assert.deepEqual(next(before, state(8n * NANO), 0), { spend: before, waitMs: undefined });
  const exhausted = spent(state(10n * NANO));
  assert.equal(next(exhausted, grown, 0).spend, exhausted, 'a reservation that was given back is no news');
});

test('of which nothing is reported any more, what was said holds until its period ends or the budget is another', () => {
  const before = spent(state(10n * NANO));
  const told = (nowMs: number, now: Parameters<typeof nextSpend>[2]['budget']) =>
    nextSpend(before, undefined, { quietMs: 60_000, nowMs, budget: now });
  assert.equal(told(FEBRUARY_MS - 1, budget).spend, before);
  assert.equal(told(FEBRUARY_MS - 1, budget).waitMs, 1);
  assert.equal(told(JANUARY_MS, budget).waitMs, 3_600_000, 'no timer runs for a month');
  assert.equal(told(FEBRUARY_MS, budget).spend, undefined);
  for (const another of [undefined, { ...budget, amount: '20' }, { ...budget, currency: 'USD' }]) {
    assert.equal(told(JANUARY_MS, another).spend, undefined);
  }
});

test('what is no time and no sum is not heard', () => {
  const good = state(9n * NANO);
  const largest = 2n ** 63n - 1n;
  for (const odd of [{ periodEndMs: largest }, { periodEndMs: -largest }, { spent: -1n }, { amount: -1n }]) {
    const reported = reportedBudgets([agent('a', { ...good, ...odd, periodStartMs: largest }), agent('b', good)]);
    assert.equal(reported?.get('ml/a')?.spent, good.spent);
  }
});

test('each passing is one Event a period', () => {
  const document = (reported: BudgetState | undefined): StatusDocument =>
    reported === undefined ? {} : { spend: spent(reported) };
  const history: readonly (readonly [BudgetState | undefined, string[]])[] = [
    [undefined, []],
    [state(8n * NANO), ['BudgetWarning']],
    [state(9n * NANO), []],
    [state(10n * NANO), ['BudgetExhausted']],
    [state(11n * NANO), []],
    [state(8n * NANO, 'february'), ['BudgetWarning']],
    [undefined, []],
    [state(10n * NANO, 'february'), ['BudgetExhausted']],
  ];
  let before: StatusDocument = {};
  for (const [reported, reasons] of history) {
    const now = document(reported);
    const told = transitions(before, now);
    assert.deepEqual(
      told.map(({ reason }) => reason),
      reasons,
    );
    before = now;
  }
  const [first] = transitions({}, document(state(8n * NANO)));
  assert.equal(first?.note, '8.00 of 10.00 EUR are spent; the next period begins at 2026-02-01T00:00:00Z');
});
