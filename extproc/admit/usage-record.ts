import type { Spend } from './admission.ts';
import type { Subject } from './limit-rules.ts';
import { moneyText } from './money.ts';

/** One line of the usage records: what was used, by whom. */
export interface UsageRecord {
  /** ISO 8601, UTC: when it was settled. */
  readonly time: string;
  /** Of the exchange, as in the access log. */
  readonly id: string;
  /** "<namespace>/<name>"; "anonymous" for who is none. */
  readonly consumer: string;
  /** End-user; null where none was named. */
  readonly user: string | null;
  readonly model: string;
  readonly backend: string;
  /** "/v1/chat/completions" */
  readonly endpoint: string;
  /** HTTP status, 0 for no answer. */
  readonly status: number;
  readonly input_tokens: number;
  readonly cached_input_tokens: number;
  readonly output_tokens: number;
  /** Tokens, or the length of audio, were not told but estimated. */
  readonly estimated: boolean;
  /** In decimals; null where the model has no price. */
  readonly cost: string | null;
  readonly currency: string | null;
}

interface Exchange extends Subject {
  readonly id: string;
  /** Name of the backend that the request was sent to. */
  readonly backend: string;
  readonly status: number;
  readonly nowMs: number;
}

export function usageRecord(
  { caller, entry, endpoint, id, backend, status, nowMs }: Exchange,
  spend: Spend,
): UsageRecord {
  return {
    time: new Date(nowMs).toISOString(),
    id,
    consumer: caller.key || caller.name,
    user: caller.user || null,
    model: entry.model.id,
    backend,
    endpoint: endpoint.path,
    status,
    input_tokens: spend.inputTokens,
    cached_input_tokens: spend.cachedInputTokens,
    output_tokens: spend.outputTokens,
    estimated: spend.estimated,
    cost: spend.currency === '' ? null : moneyText(spend.nano),
    currency: spend.currency || null,
  };
}
