import type { Budget } from '../../proto/gen/fairlead/v1/table_pb.js';
import { type Period, periodOf } from './budget-period.ts';

/** What a consumer has spent, as far as this process knows. As in report.proto's BudgetState. */
export interface SpentBudget {
  /** "<namespace>/<name>" */
  readonly consumer: string;
  /** Milliseconds since the epoch. */
  readonly periodStartMs: number;
  readonly periodEndMs: number;
  /** Both in 10^-9 of the currency; what is reserved is in `spent`. */
  readonly spent: number;
  readonly amount: number;
  readonly currency: string;
}

interface Known {
  readonly budget: Budget;
  readonly period: Period;
  spent: number;
}

/** Budgets that are known at most: those used longest ago are forgotten until they are used again. */
const MAX_KNOWN = 10_000;
/** Budgets that are told at most. */
const MAX_TOLD = 1_000;

/** What is known of budgets from the answers of the store, without asking it for more. */
export class BudgetWatch {
  readonly #byConsumer = new Map<string, Known>();

  /** The store said that so much is spent. */
  told(consumer: string, budget: Budget, spent: number, nowMs: number): void {
    this.#byConsumer.delete(consumer);
    this.#byConsumer.set(consumer, { budget, period: periodOf(budget, nowMs), spent });
    const [oldest] = this.#byConsumer.keys();
    if (this.#byConsumer.size > MAX_KNOWN && oldest !== undefined) this.#byConsumer.delete(oldest);
  }

  /** What was reserved has become something else. */
  changed(consumer: string, byNano: number): void {
    const known = this.#byConsumer.get(consumer);
    if (known !== undefined) known.spent = Math.max(0, known.spent + byNano);
  }

  /** Those of which the warning threshold is reached, in the period that it is now. */
  states(nowMs: number): readonly SpentBudget[] {
    const states: SpentBudget[] = [];
    for (const [consumer, { budget, period, spent }] of this.#byConsumer) {
      const amount = Number(budget.amount);
      // By quotient: the products would be above 2^53.
      if (nowMs >= period.endMs || spent / amount < budget.warnPercent / 100) continue;
      const { startMs: periodStartMs, endMs: periodEndMs } = period;
      states.push({ consumer, periodStartMs, periodEndMs, spent, amount, currency: budget.currency });
      if (states.length === MAX_TOLD) break;
    }
    return states;
  }

  /** Forgets consumers that are gone. */
  keepOnly(isKnown: (consumer: string) => boolean): void {
    for (const consumer of this.#byConsumer.keys()) if (!isKnown(consumer)) this.#byConsumer.delete(consumer);
  }
}
