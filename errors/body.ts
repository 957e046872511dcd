import { anthropicType } from './anthropic-type.ts';
import { errorSpec } from './codes.ts';
import type { Refusal } from './refusal.ts';

/** Who the error is written for: OpenAI's shape everywhere but on Anthropic's own endpoint. */
export type ErrorDialect = 'openai' | 'anthropic';

/**
 * The JSON body of an error.
 * OpenAI: https://platform.openai.com/docs/guides/error-codes; Anthropic: https://docs.anthropic.com/en/api/errors
 */
export function errorBody(refusal: Refusal, dialect: ErrorDialect): string {
  const { type, status } = errorSpec(refusal.code);
  const { message, code, param, retryAfterSeconds } = refusal;
  if (dialect === 'anthropic') {
    return JSON.stringify({ type: 'error', error: { type: anthropicType(status), message } });
  }
  const retry = retryAfterSeconds === undefined ? {} : { retry_after: retryAfterSeconds };
  return JSON.stringify({ error: { message, type, code, param, ...retry } });
}
