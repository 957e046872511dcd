import type { Gateway } from '../../proto/gen/fairlead/v1/table_pb.js';
import type { BudgetRule } from './budget-rule.ts';
import { counterOf, type LimitDescription, type Rule, type Subject } from './limit-rules.ts';
import type { Charge } from './limit-store.ts';
import type { RuleBook } from './rule-book.ts';

/** What a request takes, reserved or real. Whole numbers. */
export interface Amounts {
  /** 1, or 0 for one that was not made after all. */
  readonly requests: number;
  readonly input: number;
  readonly output: number;
  /** Money, in 10^-9 of the model's currency. */
  readonly nano: number;
}

/** What one request is charged to: two parallel lists. */
export interface Charges {
  readonly charges: readonly Charge[];
  readonly limits: readonly (Rule | BudgetRule)[];
}

/** Charges of a request that no limit holds for. */
const NO_CHARGES: Charges = Object.freeze({ charges: [], limits: [] });

/**
 * Every limit that holds for a request, with what is reserved of it. A budget is charged only for models that are priced
 * in its currency.
 */
export function chargesOf(
  book: RuleBook,
  subject: Subject,
  gateway: Gateway,
  amounts: Amounts,
  nowMs: number,
): Charges {
  const { caller, entry } = subject;
  const own = book.ofCaller(caller, gateway);
  const ofModel = book.ofModel(entry);
  const ofGateway = book.ofGateway(gateway);
  const isPriced = own.budget !== undefined && entry.model.pricing?.currency === own.budget.budget.currency;
  if (own.rules.length + ofModel.length + ofGateway.length === 0 && !isPriced) return NO_CHARGES;
  const charges: Charge[] = [];
  const limits: (Rule | BudgetRule)[] = [];
  for (const rules of [own.rules, ofModel, ofGateway]) {
    for (const rule of rules) {
      if (!rule.holdsFor(entry.model, subject.endpoint)) continue;
      charges.push({ counter: counterOf(rule, subject), amount: amountOf(rule.unit, amounts) });
      limits.push(rule);
    }
  }
  if (own.budget !== undefined && isPriced) {
    charges.push({ counter: own.budget.counterAt(nowMs), amount: amounts.nano });
    limits.push(own.budget);
  }
  return { charges, limits };
}

/** What a limit of that unit is charged. */
export function amountOf(unit: LimitDescription['unit'], { requests, input, output, nano }: Amounts): number {
  switch (unit) {
    case 'requests':
    case 'concurrency':
      return requests;
    case 'tokens':
      return Math.min(input + output, Number.MAX_SAFE_INTEGER);
    case 'input_tokens':
      return input;
    case 'output_tokens':
      return output;
    case 'budget':
      return nano;
  }
}
