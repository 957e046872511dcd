import type { UsageLog } from '../telemetry/usage-log.ts';
import type { Admission, Spend } from './admit/admission.ts';
import { usageRecord } from './admit/usage-record.ts';
import type { Tokens } from './outcome/estimate.ts';
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
      const estimated = kind !== 'usage';
      const spend = admission.settle(exchange.grant, {
        promptTokens: tokens.prompt,
        cachedPromptTokens: tokens.cachedPrompt,
        completionTokens: tokens.completion,
        estimated,
        produced: kind !== 'nothing',
      });
      if (usage === undefined) return;
      const { id, caller, entry, endpoint } = exchange;
      const backend = exchange.backend.config.name;
      usage.write(
        usageRecord(
          { caller, entry, endpoint, id, backend, status, nowMs: epochMs() },
          spend ?? unpriced(tokens, estimated),
        ),
      );
    },
  };
}

/** Of a request that no limit held for and that cost nothing. */
function unpriced({ prompt, cachedPrompt, completion }: Tokens, estimated: boolean): Spend {
  return {
    inputTokens: prompt,
    cachedInputTokens: cachedPrompt,
    outputTokens: completion,
    nano: 0,
    currency: '',
    estimated,
  };
}
