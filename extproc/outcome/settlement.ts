import type { SettlementKind } from '../../telemetry/snapshot.ts';
import type { AccessRecord } from './access-record.ts';
import { type Tokens, tokensBySize } from './estimate.ts';
import { isAbandoned } from './failure.ts';

/** What was forecast when the exchange was picked. */
export interface Forecast {
  readonly promptTokens: number;
  /** 0 where the endpoint generates no text. */
  readonly outputTokens: number;
  /** Whether the client asked for a stream of events. */
  readonly stream: boolean;
}

/** What an exchange took, and how that is known. */
export interface Settlement {
  readonly tokens: Tokens;
  readonly kind: SettlementKind;
}

/**
 * The tokens that an exchange took: as the answer told them, else estimated by its size. Of usage that was not read to
 * its end, what is higher than the estimate is believed.
 */
export function settlementOf(record: AccessRecord, forecast: Forecast): Settlement {
  const { usage, status, responseBytes } = record;
  const estimate = tokensBySize({ ...forecast, status, responseBytes });
  const prompt = usage?.promptTokens ?? estimate.prompt;
  // More than the whole prompt cannot have been cached, whatever the engine says.
  const cachedPrompt = Math.min(prompt, usage?.cachedPromptTokens ?? 0);
  if (usage?.status === 'complete') {
    return { tokens: { prompt, cachedPrompt, completion: usage.completionTokens ?? 0 }, kind: 'usage' };
  }
  const completion = Math.max(usage?.completionTokens ?? 0, estimate.completion);
  return { tokens: { prompt, cachedPrompt, completion }, kind: prompt + completion > 0 ? 'estimate' : 'nothing' };
}

/**
 * What its caller is charged for: what the exchange took. Who went away before any answer is charged for the prompt,
 * by estimate, since an endpoint had it: otherwise prompts would cost nothing to whoever does not wait.
 */
export function chargeOf(record: AccessRecord, { promptTokens }: Forecast, taken: Settlement): Settlement {
  if (!isAbandoned(record)) return taken;
  return { tokens: { prompt: promptTokens, cachedPrompt: 0, completion: 0 }, kind: 'estimate' };
}

/** What is taken for granted where no record came. */
export function settlementWithoutRecord({ promptTokens, outputTokens }: Forecast): Settlement {
  return { tokens: { prompt: promptTokens, cachedPrompt: 0, completion: outputTokens }, kind: 'no_record' };
}
