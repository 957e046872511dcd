import { create } from '@bufbuild/protobuf';
import { type BudgetState, BudgetStateSchema } from '../../proto/gen/fairlead/v1/report_pb.js';
import type { BudgetStateData } from '../messages.ts';

/** What consumers have spent, as reports carry it. */
export function budgetStates(budgets: readonly BudgetStateData[]): BudgetState[] {
  return budgets.map(({ consumer, periodStartMs, periodEndMs, spent, amount, currency }) =>
    create(BudgetStateSchema, {
      consumer,
      periodStartMs: BigInt(periodStartMs),
      periodEndMs: BigInt(periodEndMs),
      spent: BigInt(spent),
      amount: BigInt(amount),
      currency,
    }),
  );
}
