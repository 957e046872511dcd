import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { create } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { BudgetPeriod, BudgetSchema } from '../../proto/gen/fairlead/v1/table_pb.js';
import { periodOf, utcMonth } from './budget-period.ts';

const budgetOf = (timeZone: string, period: BudgetPeriod) => create(BudgetSchema, { timeZone, period });

function told(timeZone: string, period: BudgetPeriod, at: string): string {
  const { startMs, endMs } = periodOf(budgetOf(timeZone, period), Date.parse(at));
  return [startMs, endMs].map(ms => new Date(ms).toISOString().slice(0, 16)).join(' ');
}

describe('a period', () => {
  const { DAY, MONTH } = BudgetPeriod;
  const cases: [what: string, zone: string, period: BudgetPeriod, at: string, expected: string][] = [
    ['a day of UTC', 'UTC', DAY, '2026-02-28T23:59:59.999Z', '2026-02-28T00:00 2026-03-01T00:00'],
    ['its first moment', 'UTC', DAY, '2026-03-01T00:00:00Z', '2026-03-01T00:00 2026-03-02T00:00'],
    ['a month', 'UTC', MONTH, '2024-02-29T12:00:00Z', '2024-02-01T00:00 2024-03-01T00:00'],
    ['the last month of a year', 'Europe/Paris', MONTH, '2026-12-31T22:59:59Z', '2026-11-30T23:00 2026-12-31T23:00'],
    ['a day of 23 hours', 'Europe/Paris', DAY, '2026-03-29T12:00:00Z', '2026-03-28T23:00 2026-03-29T22:00'],
    ['a day of 25 hours', 'Europe/Paris', DAY, '2026-10-25T12:00:00Z', '2026-10-24T22:00 2026-10-25T23:00'],
    ['a zone with half an hour', 'Asia/Kolkata', DAY, '2026-05-01T18:29:59Z', '2026-04-30T18:30 2026-05-01T18:30'],
    [
      'clocks set by half an hour',
      'Australia/Lord_Howe',
      DAY,
      '2026-04-04T16:00:00Z',
      '2026-04-04T13:00 2026-04-05T13:30',
    ],
    ['a day without midnight', 'Africa/Cairo', DAY, '2026-04-24T12:00:00Z', '2026-04-23T22:00 2026-04-24T21:00'],
    ['a day with two midnights', 'America/Havana', DAY, '2026-11-01T05:30:00Z', '2026-11-01T04:00 2026-11-02T05:00'],
    [
      'clocks set back over midnight',
      'America/St_Johns',
      DAY,
      '2010-11-07T03:00:00Z',
      '2010-11-07T02:30 2010-11-08T03:30',
    ],
    ['before a date that never was', 'Pacific/Apia', DAY, '2011-12-30T09:00:00Z', '2011-12-29T10:00 2011-12-30T10:00'],
    ['after it', 'Pacific/Apia', DAY, '2011-12-30T11:00:00Z', '2011-12-30T10:00 2011-12-31T10:00'],
    ['an unknown zone, by UTC', 'Mars/Olympus', DAY, '2026-05-01T12:00:00Z', '2026-05-01T00:00 2026-05-02T00:00'],
  ];
  for (const [what, zone, period, at, expected] of cases) {
    it(what, () => assert.equal(told(zone, period, at), expected));
  }

  it('is one object while it lasts', () => {
    const budget = budgetOf('UTC', DAY);
    const first = periodOf(budget, Date.parse('2026-05-01T00:00:00Z'));
    assert.equal(periodOf(budget, first.endMs - 1), first);
    assert.equal(periodOf(budget, first.endMs).startMs, first.endMs);
    assert.equal(utcMonth(first.startMs), utcMonth(first.endMs));
  });
});

it('periods tile time, in every zone', () => {
  const zone = fc.constantFrom(...Intl.supportedValuesOf('timeZone'));
  const period = fc.constantFrom(BudgetPeriod.DAY, BudgetPeriod.MONTH);
  const moment = fc.integer({ min: Date.parse('2000-01-01'), max: Date.parse('2040-01-01') });
  fc.assert(
    fc.property(zone, period, moment, (timeZone, period, nowMs) => {
      const at = (ms: number) => periodOf(budgetOf(timeZone, period), ms);
      const { startMs, endMs } = at(nowMs);
      assert.ok(startMs <= nowMs && nowMs < endMs);
      assert.deepEqual(at(startMs), { startMs, endMs });
      assert.deepEqual(at(endMs - 1), { startMs, endMs });
      assert.equal(at(endMs).startMs, endMs);
      assert.equal(at(startMs - 1).endMs, startMs);
    }),
    { numRuns: 1_000 },
  );
});
