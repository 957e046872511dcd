import type { BodyFacts } from './body-facts.ts';
import type { InferenceEndpoint } from './endpoints.ts';

/**
 * Bytes of a request body for each prompt token. English prose has about 4 characters a token
 * (https://help.openai.com/en/articles/4936856); JSON around it makes the estimate a little high, other scripts low.
 * An estimate only has to rank requests: the usage that the engine reports replaces it.
 */
const BYTES_PER_TOKEN = 4;

/**
 * Tokens that an answer is taken to have. Mean output in the Azure conversation trace of 2023 is 211 tokens
 * (Patel et al., Splitwise, https://github.com/Azure/AzurePublicDataset), rounded up to a power of two.
 */
const TYPICAL_OUTPUT_TOKENS = 256;

/** What the picker is told of a request: estimates, until the engine has reported usage. */
export interface EstimatedTokens {
  readonly promptTokens: number;
  readonly outputTokens: number;
}

/**
 * Estimates the tokens of a request. The client's limit on the answer is a bound, not a forecast: it only lowers the
 * estimate, so a huge limit neither scares traffic off a pod nor spoils the sums kept for it.
 *
 * @param bodyBytes length of the request body
 */
export function estimateTokens(endpoint: InferenceEndpoint, bodyBytes: number, facts: BodyFacts): EstimatedTokens {
  return {
    promptTokens: Math.ceil(bodyBytes / BYTES_PER_TOKEN),
    outputTokens: endpoint.generatesText
      ? Math.min(facts.maxOutputTokens ?? TYPICAL_OUTPUT_TOKENS, TYPICAL_OUTPUT_TOKENS)
      : 0,
  };
}
