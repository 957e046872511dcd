import { type Budget, BudgetPeriod } from '../../proto/gen/fairlead/v1/table_pb.js';
import { type Period, periodOf } from './budget-period.ts';
import type { LimitDescription } from './limit-rules.ts';
import type { Counter } from './limit-store.ts';
import { moneyText } from './money.ts';

/** A budget ready for use. */
export interface BudgetRule extends LimitDescription {
  readonly unit: 'budget';
  readonly budget: Budget;
  /** Counts 10^-9 of the currency in the period that has this moment in it. */
  readonly counterAt: (nowMs: number) => Counter;
}

/** "month". */
export function budgetPeriodText({ period }: Budget): 'day' | 'month' {
  return period === BudgetPeriod.DAY ? 'day' : 'month';
}

/** What distinguishes a period from all others, of other lengths and time zones too. */
export function periodKey({ startMs, endMs }: Period): string {
  return `${startMs}-${endMs}`;
}

/**
 * @param key "<namespace>/<name>" of the consumer
 * @param name what people call it
 */
export function compileBudget(key: string, name: string, budget: Budget): BudgetRule {
  const limit = Number(budget.amount);
  let latest: { readonly period: Period; readonly counter: Counter } | undefined;
  return {
    scope: 'consumer',
    owner: key,
    text: `${moneyText(limit)} ${budget.currency} per ${budgetPeriodText(budget)} for ${name}`,
    unit: 'budget',
    limit,
    shadow: false,
    budget,
    counterAt: nowMs => {
      const period = periodOf(budget, nowMs);
      if (latest?.period !== period) {
        const counted = `budget|${key}|${budget.currency}|${periodKey(period)}`;
        latest = { period, counter: { key: counted, limit, window: { kind: 'calendar', ...period }, shadow: false } };
      }
      return latest.counter;
    },
  };
}
