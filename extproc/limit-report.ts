import { isDeepStrictEqual } from 'node:util';
import type { LimitsMessage } from '../agent/messages.ts';
import type { Admission } from './admit/admission.ts';
import type { StoreInUse } from './admit/store-in-use.ts';

interface LimitReportOptions {
  readonly admission: Admission;
  readonly store: StoreInUse;
  readonly tell: (message: LimitsMessage) => void;
}

/** Tells the agent how budgets and the store of limits are, whenever that is otherwise than it was told last. */
export class LimitReport {
  readonly #options: LimitReportOptions;
  #told: LimitsMessage = { kind: 'limits', budgets: [], storeFailure: '' };

  constructor(options: LimitReportOptions) {
    this.#options = options;
  }

  refresh(): void {
    const { admission, store, tell } = this.#options;
    const now: LimitsMessage = {
      kind: 'limits',
      budgets: admission.budgetStates(),
      storeFailure: store.failure ?? '',
    };
    if (isDeepStrictEqual(now, this.#told)) return;
    this.#told = now;
    tell(now);
  }
}
