import { type Gateway, LimitEach } from '../../proto/gen/fairlead/v1/table_pb.js';
import type { Caller } from '../identity/caller.ts';
import type { ModelEntry } from '../models/model-index.ts';
import { INFERENCE_ENDPOINTS, type InferenceEndpoint, serves } from '../request/endpoints.ts';
import { ACCOUNTED, accountCounters } from './accounts.ts';
import { type BudgetRule, budgetPeriodText } from './budget-rule.ts';
import { counterOf, type Rule } from './limit-rules.ts';
import type { Counter, CounterState } from './limit-store.ts';
import { periodText } from './limit-text.ts';
import { moneyText } from './money.ts';
import type { RuleBook } from './rule-book.ts';

/** What GET /v1/usage answers. Money in decimals, times as ISO 8601 in UTC. */
export interface UsageReport {
  readonly object: 'usage';
  readonly consumer: string;
  readonly limits: readonly LimitUsage[];
  readonly budget: BudgetUsage | null;
  readonly models: readonly ModelUsage[];
}

interface LimitUsage {
  readonly limit: string;
  readonly unit: string;
  /** Null for concurrency. */
  readonly per: string | null;
  readonly amount: number;
  readonly used: number;
  readonly remaining: number;
  /** When nothing of it is used any more; null where nothing is, or nobody knows. */
  readonly resets_at: string | null;
  readonly shadow: boolean;
  /** Where it counts each for itself. */
  readonly model?: string;
  readonly endpoint?: string;
}

interface BudgetUsage {
  readonly amount: string;
  readonly spent: string;
  readonly remaining: string;
  readonly currency: string;
  readonly period: string;
  readonly resets_at: string;
}

interface ModelUsage {
  readonly model: string;
  readonly requests: number;
  readonly input_tokens: number;
  readonly output_tokens: number;
  /** Null for a model that has no price. */
  readonly cost: string | null;
  readonly currency: string | null;
}

/** Whose usage is asked for. */
export interface UsageRequest {
  readonly caller: Caller;
  /** That the caller may use. */
  readonly models: readonly ModelEntry[];
  readonly gateway: Gateway;
}

/** Counters, and what is said of them once they are read. */
export interface UsageQuestion {
  readonly counters: readonly Counter[];
  readonly answer: (states: readonly CounterState[]) => UsageReport;
}

/** Counters of limits that are told at most: each model at each endpoint could be thousands. */
const MAX_LIMIT_COUNTERS = 500;
/** Models of which the use is told at most. */
const MAX_MODELS = 500;

interface AskedLimit {
  readonly rule: Rule;
  readonly counter: Counter;
  readonly model: string | undefined;
  readonly endpoint: string | undefined;
}

/**
 * What must be read to tell a caller where he stands: his own limits, and those of models and gateway that count each
 * consumer for itself; what others use together with him is not his to know.
 */
export function usageQuestion(book: RuleBook, request: UsageRequest, nowMs: number): UsageQuestion {
  const { caller, models, gateway } = request;
  const { rules, budget } = book.ofCaller(caller, gateway);
  const isOwn = ({ each }: Rule): boolean => each.includes(LimitEach.CONSUMER);
  const limits = [
    ...[...rules, ...book.ofGateway(gateway).filter(isOwn)].flatMap(rule => askedLimits(rule, caller, models)),
    ...models.flatMap(entry =>
      book
        .ofModel(entry)
        .filter(isOwn)
        .flatMap(rule => askedLimits(rule, caller, [entry])),
    ),
  ].slice(0, MAX_LIMIT_COUNTERS);
  const { consumer } = caller;
  const told = consumer === undefined ? [] : models.slice(0, MAX_MODELS);
  const accounts = told.map(entry => ({ entry, counters: consumer ? accountCounters(consumer, entry, nowMs) : [] }));
  const budgets = budget === undefined ? [] : [budget.counterAt(nowMs)];
  const counters = [
    ...limits.map(({ counter }) => counter),
    ...budgets,
    ...accounts.flatMap(account => account.counters),
  ];
  const answer = (states: readonly CounterState[]): UsageReport => {
    const sums = states.slice(limits.length + budgets.length);
    return {
      object: 'usage',
      consumer: caller.name,
      limits: limits.map((limit, i) => limitUsage(limit, states[i], nowMs)),
      budget: budget === undefined ? null : budgetUsage(budget, states[limits.length], nowMs),
      models: accounts
        .map(({ entry }, i) => modelUsage(entry, sums.slice(i * ACCOUNTED.length)))
        .filter(({ requests }) => requests > 0),
    };
  };
  return { counters, answer };
}

/** The counters of one rule that are the caller's. */
function askedLimits(rule: Rule, caller: Caller, models: readonly ModelEntry[]): readonly AskedLimit[] {
  const isByModel = rule.each.includes(LimitEach.MODEL);
  const isByEndpoint = rule.each.includes(LimitEach.ENDPOINT);
  const asked = new Map<string, AskedLimit>();
  for (const entry of models) {
    for (const endpoint of INFERENCE_ENDPOINTS) {
      if (!isServedBy(rule, entry, endpoint)) continue;
      const counter = counterOf(rule, { caller, entry, endpoint });
      const model = isByModel ? entry.model.id : undefined;
      asked.set(counter.key, { rule, counter, model, endpoint: isByEndpoint ? endpoint.path : undefined });
      if (!isByModel && !isByEndpoint) return [...asked.values()];
    }
  }
  return [...asked.values()];
}

function isServedBy(rule: Rule, { model }: ModelEntry, endpoint: InferenceEndpoint): boolean {
  return serves(endpoint, model.type) && rule.holdsFor(model, endpoint);
}

function limitUsage({ rule, model, endpoint }: AskedLimit, state: CounterState | undefined, nowMs: number): LimitUsage {
  const { used, limit, resetMs } = state ?? { used: 0, limit: rule.limit, resetMs: 0 };
  return {
    limit: rule.text,
    unit: rule.unit,
    per: periodText(rule.periodSeconds) ?? null,
    amount: rule.limit,
    used,
    remaining: Math.max(0, limit - used),
    resets_at: resetMs > 0 ? timeText(nowMs + resetMs) : null,
    shadow: rule.shadow,
    ...(model !== undefined && { model }),
    ...(endpoint !== undefined && { endpoint }),
  };
}

function budgetUsage(
  { budget, limit, counterAt }: BudgetRule,
  state: CounterState | undefined,
  nowMs: number,
): BudgetUsage {
  const spent = state?.used ?? 0;
  const { window } = counterAt(nowMs);
  return {
    amount: moneyText(limit),
    spent: moneyText(spent),
    remaining: moneyText(Math.max(0, limit - spent)),
    currency: budget.currency,
    period: budgetPeriodText(budget),
    resets_at: timeText(window.kind === 'calendar' ? window.endMs : nowMs),
  };
}

function modelUsage({ model }: ModelEntry, sums: readonly CounterState[]): ModelUsage {
  const [requests = 0, input_tokens = 0, output_tokens = 0, nano = 0] = sums.map(({ used }) => used);
  const { pricing } = model;
  return {
    model: model.id,
    requests,
    input_tokens,
    output_tokens,
    cost: pricing === undefined ? null : moneyText(nano),
    currency: pricing?.currency ?? null,
  };
}

function timeText(ms: number): string {
  return new Date(Math.ceil(ms)).toISOString();
}
