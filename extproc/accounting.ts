import type { UsageLog } from '../telemetry/usage-log.ts';
import type { Admission } from './admit/admission.ts';
import { usageRecord } from './admit/usage-record.ts';
import type { OpenExchange, Settled } from './outcome/ledger.ts';

interface AccountingOptions {
  readonly admission: Admission;
  /** Where each request is written to, if anywhere. */
  readonly usage: UsageLog | undefined;
  /** Milliseconds since the epoch. */
  readonly epochMs: () => number;
}

/** What the ledger's word that an exchange has ended, and what it took, means for limits and records. */
export function accounting({ admission, usage, epochMs }: AccountingOptions) {
  return {
    onEnded: ({ grant }: OpenExchange): void => admission.release(grant),
    onSettled: ({ exchange, charge: { tokens, kind }, status }: Settled): void => {
      const { id, caller, entry, endpoint, grant } = exchange;
      const outcome = {
        promptTokens: tokens.prompt,
        cachedPromptTokens: tokens.cachedPrompt,
        completionTokens: tokens.completion,
        estimated: kind !== 'usage',
        produced: kind !== 'nothing',
      };
      const spend = admission.settle(grant, outcome) ?? admission.count(exchange, outcome);
      if (usage === undefined) return;
      const backend = exchange.backend.config.name;
      usage.write(usageRecord({ caller, entry, endpoint, id, backend, status, nowMs: epochMs() }, spend));
    },
  };
}
