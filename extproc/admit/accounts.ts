import type { Model, Pricing } from '../../proto/gen/fairlead/v1/table_pb.js';
import type { ConsumerEntry } from '../identity/consumer-entry.ts';
import type { ModelEntry } from '../models/model-index.ts';
import { type Period, periodOf, utcMonth } from './budget-period.ts';
import { periodKey } from './budget-rule.ts';
import type { Amounts } from './charges.ts';
import type { Charge, Counter } from './limit-store.ts';

/** The sums kept of one model's use by one consumer, in the order of their counters. */
export const ACCOUNTED = ['requests', 'input', 'output', 'nano'] as const satisfies readonly (keyof Amounts)[];

/** The period in which a consumer's use is summed up: its budget's, else the month of UTC. */
function accountingPeriod({ consumer }: ConsumerEntry, nowMs: number): Period {
  return consumer.budget === undefined ? utcMonth(nowMs) : periodOf(consumer.budget, nowMs);
}

/** The counters of what a consumer used of a model, parallel to `ACCOUNTED`. They limit nothing. */
export function accountCounters(
  consumer: ConsumerEntry,
  { key, model }: ModelEntry,
  nowMs: number,
): readonly Counter[] {
  const period = accountingPeriod(consumer, nowMs);
  const account = `use|${consumer.key}|${key}|${periodKey(period)}`;
  return ACCOUNTED.map(sum => ({
    key: `${account}|${sum === 'nano' ? currencyOf(model.pricing) : sum}`,
    limit: Number.POSITIVE_INFINITY,
    window: { kind: 'calendar', ...period },
    shadow: true,
  }));
}

interface Account {
  readonly period: Period;
  readonly counters: readonly Counter[];
}

/** The latest account of each consumer at each model that it uses: keys are words that need not be put together anew. */
const latest = new WeakMap<ConsumerEntry, WeakMap<Model, Account>>();

function accountOf(consumer: ConsumerEntry, entry: ModelEntry, nowMs: number): readonly Counter[] {
  const byModel = latest.get(consumer) ?? new WeakMap<Model, Account>();
  latest.set(consumer, byModel);
  const period = accountingPeriod(consumer, nowMs);
  const known = byModel.get(entry.model);
  if (known?.period === period) return known.counters;
  const counters = accountCounters(consumer, entry, nowMs);
  byModel.set(entry.model, { period, counters });
  return counters;
}

/** What is added to those counters for one request. */
export function accountCharges(
  consumer: ConsumerEntry,
  entry: ModelEntry,
  amounts: Amounts,
  nowMs: number,
): readonly Charge[] {
  const charges: Charge[] = [];
  for (const [i, counter] of accountOf(consumer, entry, nowMs).entries()) {
    const amount = amounts[ACCOUNTED[i] ?? 'requests'];
    if (amount > 0) charges.push({ counter, amount });
  }
  return charges;
}

/** Sums of two currencies are two sums; what is free has none. */
function currencyOf(pricing: Pricing | undefined): string {
  return `money ${pricing?.currency ?? ''}`;
}
