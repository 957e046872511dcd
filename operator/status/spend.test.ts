import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { consumerStatusSchema, type StatusDocument } from '../../crds/status.ts';
import { type BudgetState, BudgetStateSchema, NodeReportSchema } from '../../proto/gen/fairlead/v1/report_pb.js';
import type { ConnectedAgent } from '../publish/publisher.ts';
import { isExhausted, nextSpend, reportedBudgets } from './spend.ts';
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

const spent = (reported: BudgetState) => nextSpend(undefined, reported, 0).spend ?? assert.fail();

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
  assert.deepEqual(nextSpend(before, grown, 10_000), { spend: before, waitMs: 20_000 });
  assert.equal(nextSpend(before, grown, 30_000).spend?.amount, '9.00');
  assert.equal(nextSpend(before, state(10n * NANO), 0).spend?.amount, '10.00');
  assert.equal(nextSpend(before, state(8n * NANO, 'february'), 0).spend?.periodEnd, '2026-03-01T00:00:00Z');
  assert.deepEqual(nextSpend(before, state(8n * NANO), 0), { spend: before, waitMs: undefined });
  const exhausted = spent(state(10n * NANO));
  assert.equal(nextSpend(exhausted, grown, 0).spend, exhausted, 'a reservation that was given back is no news');
});

test('what is below its threshold again is said no more, after a while', () => {
  const before = spent(state(8n * NANO));
  assert.equal(nextSpend(before, undefined, 29_999).spend, before);
  assert.equal(nextSpend(before, undefined, 30_000).spend, undefined);
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
