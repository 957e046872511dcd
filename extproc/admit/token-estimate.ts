import type { BodyFacts } from '../request/body-facts.ts';
import type { InferenceEndpoint } from '../request/endpoints.ts';
import { DecayedQuantile } from './decayed-quantile.ts';

/** Tokens that are reserved for a request. Whole numbers, 0 or more. */
export interface ReservedTokens {
  readonly input: number;
  /** Of all answers together. */
  readonly output: number;
}

/** What the client asked for in answers. */
type AskedAnswers = Pick<BodyFacts, 'answers' | 'maxOutputTokens'>;

/** What an answer that told its usage teaches of its model. */
export interface ToldUsage {
  readonly bodyBytes: number;
  readonly promptTokens: number;
  /** Of all answers together. */
  readonly completionTokens: number;
  readonly asked: AskedAnswers;
}

/** Charged at most for the input, and for the output, of one request: more than any has, and millions of it add up exactly. */
export const MAX_TOKENS = 1_000_000_000;
/** Bytes of a request body for each prompt token until a model has taught better, see request-facts.ts. */
const FIRST_BYTES_PER_TOKEN = 4;
/** That many bytes' worth is the first ratio believed. */
const FIRST_BYTES = 16_384;
/** What older requests weigh after each new one: about the last hundred count. */
const KEPT = 0.99;
/** Longest answer that is reckoned with until a model has taught better. */
const FIRST_OUTPUT_TOKENS = 1_024;
const RESERVED_QUANTILE = 0.95;
/** Models that are remembered at most; beyond, the one that was learned of first begins anew. */
const MAX_MODELS = 10_000;

/**
 * What is sent as sound or in a few words, and answered as sound or as images: bytes say nothing of its tokens, and it
 * is paid for otherwise.
 */
export function hasNoPromptTokens({ path }: InferenceEndpoint): boolean {
  return path.startsWith('/v1/audio/') || path.startsWith('/v1/images/');
}

/**
 * What the prompt can have at most: where a request has but one, the context, since bytes say little of images in it.
 *
 * @param contextTokens 0 when unknown
 */
export function mostPromptTokens(
  { generatesText, takesPromptLists }: InferenceEndpoint,
  contextTokens: number,
): number {
  const isOne = generatesText && !takesPromptLists;
  return isOne && contextTokens > 0 ? Math.min(contextTokens, MAX_TOKENS) : MAX_TOKENS;
}

interface Learned {
  tokens: number;
  bytes: number;
  readonly outputs: DecayedQuantile;
}

/** What requests will take in tokens, learned from those that told: an upper estimate, since it is reserved. */
export class TokenEstimates {
  readonly #byModel = new Map<string, Learned>();

  /**
   * @param model its key
   * @param contextTokens the model's context, 0 when unknown: no single prompt and no answer is longer
   */
  estimate(
    model: string,
    endpoint: InferenceEndpoint,
    bodyBytes: number,
    facts: AskedAnswers,
    contextTokens: number,
  ): ReservedTokens {
    const learned = this.#byModel.get(model);
    const most = Math.min(contextTokens || MAX_TOKENS, MAX_TOKENS);
    const mostInput = mostPromptTokens(endpoint, contextTokens);
    const ratio = learned === undefined ? 1 / FIRST_BYTES_PER_TOKEN : learned.tokens / learned.bytes;
    const input = hasNoPromptTokens(endpoint) ? 0 : Math.min(Math.ceil(bodyBytes * ratio), mostInput);
    if (!endpoint.generatesText) return { input, output: 0 };
    const longest = facts.maxOutputTokens ?? learned?.outputs.quantile(RESERVED_QUANTILE) ?? FIRST_OUTPUT_TOKENS;
    return { input, output: Math.min(Math.min(longest, most) * facts.answers, MAX_TOKENS) };
  }

  /** Takes in what an answer told. Estimates teach nothing. */
  learn(
    model: string,
    endpoint: InferenceEndpoint,
    { bodyBytes, promptTokens, completionTokens, asked }: ToldUsage,
  ): void {
    const learned = this.#learned(model);
    if (promptTokens > 0 && bodyBytes > 0 && !hasNoPromptTokens(endpoint)) {
      learned.tokens = learned.tokens * KEPT + promptTokens;
      learned.bytes = learned.bytes * KEPT + bodyBytes;
    }
    const answerTokens = Math.ceil(completionTokens / asked.answers);
    // An answer that its client cut short says nothing of how long others get.
    const isWhole = asked.maxOutputTokens === undefined || answerTokens < asked.maxOutputTokens;
    if (endpoint.generatesText && answerTokens > 0 && isWhole) learned.outputs.observe(answerTokens);
  }

  /** Forgets the models that are gone. */
  keepOnly(isServed: (model: string) => boolean): void {
    for (const model of this.#byModel.keys()) if (!isServed(model)) this.#byModel.delete(model);
  }

  #learned(model: string): Learned {
    const known = this.#byModel.get(model);
    if (known !== undefined) return known;
    const [oldest] = this.#byModel.keys();
    if (this.#byModel.size >= MAX_MODELS && oldest !== undefined) this.#byModel.delete(oldest);
    const learned = {
      tokens: FIRST_BYTES / FIRST_BYTES_PER_TOKEN,
      bytes: FIRST_BYTES,
      outputs: new DecayedQuantile(FIRST_OUTPUT_TOKENS),
    };
    this.#byModel.set(model, learned);
    return learned;
  }
}
