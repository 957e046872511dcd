import type { ConsumerSpec } from '../../crds/consumer.ts';
import { nanoOf } from '../../crds/money.ts';
import type { StatusDocument } from '../../crds/status.ts';
import type { BudgetState } from '../../proto/gen/fairlead/v1/report_pb.js';
import type { ConnectedAgent } from '../publish/publisher.ts';

/** Where a Consumer stands with its budget, as its status has it. */
export type Spend = NonNullable<StatusDocument['spend']>;

/** How often it is written anew while it only grows, milliseconds. */
const PACE_MS = 30_000;

/** A timer may run for 24 days at most, and clocks are set; milliseconds. */
const MAX_WAIT_MS = 3_600_000;
/** Years have four digits in the API. */
const LAST_TIME_MS = BigInt(Date.UTC(9999, 11, 31));

const NANO_DIGITS = 9;
const MIN_DIGITS = 2;

/**
 * What agents report of budgets, by Consumer; undefined while none of them has reported anything, as after a change of
 * leader. Of two that differ the later period and the larger sum count: the other agent has not heard of it yet.
 */
export function reportedBudgets(agents: readonly ConnectedAgent[]): ReadonlyMap<string, BudgetState> | undefined {
  const reports = agents.flatMap(({ report }) => report ?? []);
  if (reports.length === 0) return undefined;
  const budgets = new Map<string, BudgetState>();
  for (const state of reports.flatMap(({ budgets }) => budgets)) {
    if (!canBeTold(state)) continue;
    const known = budgets.get(state.consumer);
    if (known === undefined || isFurther(state, known)) budgets.set(state.consumer, state);
  }
  return budgets;
}

/** An agent of another version may say anything; what is no sum or no time is as good as not said. */
function canBeTold({ spent, amount, periodEndMs }: BudgetState): boolean {
  return spent >= 0n && amount >= 0n && periodEndMs >= 0n && periodEndMs <= LAST_TIME_MS;
}

function isFurther(one: BudgetState, other: BudgetState): boolean {
  if (one.periodStartMs !== other.periodStartMs) return one.periodStartMs > other.periodStartMs;
  return one.spent > other.spent;
}

/** What to say of a budget: at once what is news, everything else at its pace. */
export interface NextSpend {
  readonly spend: Spend | undefined;
  /** How long until it may be said otherwise, milliseconds; undefined while there is nothing else to say. */
  readonly waitMs: number | undefined;
}

interface SpendMoment {
  /** Since what was said before, milliseconds. */
  readonly quietMs: number;
  /** Milliseconds since the epoch. */
  readonly nowMs: number;
  /** As it is declared; undefined where there is none. */
  readonly budget: ConsumerSpec['budget'];
}

/**
 * What to say of a budget, given what was said before.
 *
 * @param reported undefined for one of which nothing is reported, as by agents that have just begun: what was said holds
 *   for its period and its budget
 */
export function nextSpend(
  before: Spend | undefined,
  reported: BudgetState | undefined,
  { quietMs, nowMs, budget }: SpendMoment,
): NextSpend {
  if (reported === undefined && before !== undefined && isOf(before, budget)) {
    const leftMs = Date.parse(before.periodEnd) - nowMs;
    if (leftMs > 0) return { spend: before, waitMs: Math.min(leftMs, MAX_WAIT_MS) };
  }
  const now = reported === undefined ? undefined : spendOf(reported);
  if (sameSpend(before, now)) return { spend: before, waitMs: undefined };
  return isNews(before, now) || quietMs >= PACE_MS
    ? { spend: now, waitMs: undefined }
    : { spend: before, waitMs: PACE_MS - quietMs };
}

function isOf({ limit, currency }: Spend, budget: ConsumerSpec['budget']): boolean {
  return budget !== undefined && budget.currency === currency && textOfNano(nanoOf(budget.amount)) === limit;
}

/** Whether the budget is used up. */
export function isExhausted({ amount, limit }: Spend): boolean {
  return nanoOfText(amount) >= nanoOfText(limit);
}

/** Whether it is the first that is said of a period, or that the budget is used up. */
function isNews(before: Spend | undefined, now: Spend | undefined): boolean {
  if (now === undefined) return false;
  return before?.periodEnd !== now.periodEnd || (isExhausted(now) && !isExhausted(before));
}

function sameSpend(one: Spend | undefined, other: Spend | undefined): boolean {
  return (
    one?.amount === other?.amount &&
    one?.limit === other?.limit &&
    one?.currency === other?.currency &&
    one?.periodEnd === other?.periodEnd
  );
}

function spendOf({ spent, amount, currency, periodEndMs }: BudgetState): Spend {
  const periodEnd = `${new Date(Number(periodEndMs)).toISOString().slice(0, 19)}Z`;
  return { amount: textOfNano(spent), currency, limit: textOfNano(amount), periodEnd };
}

/** "12.34": exactly, with two digits at least. */
function textOfNano(nano: bigint): string {
  const digits = nano.toString().padStart(NANO_DIGITS + 1, '0');
  const fraction = digits.slice(-NANO_DIGITS).replace(/0+$/, '').padEnd(MIN_DIGITS, '0');
  return `${digits.slice(0, -NANO_DIGITS)}.${fraction}`;
}

function nanoOfText(text: string): bigint {
  const [whole = '', fraction = ''] = text.split('.');
  return BigInt(whole + fraction.padEnd(NANO_DIGITS, '0'));
}
