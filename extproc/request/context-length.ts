import { type Refusal, refuse } from '../../errors/refusal.ts';
import type { BodyFacts } from './body-facts.ts';

/**
 * Refuses what is certainly too long; how many tokens the prompt has, only the engine knows.
 *
 * @param maxContextTokens prompt and answer together; 0 for no limit known
 */
export function checkContextLength(maxContextTokens: number, { maxOutputTokens }: BodyFacts): Refusal | undefined {
  if (maxContextTokens === 0 || maxOutputTokens === undefined || maxOutputTokens <= maxContextTokens) return undefined;
  return refuse('context_length_exceeded', {
    message: `The model's context is ${maxContextTokens} tokens, prompt and answer together; ${maxOutputTokens} were asked for. Lower max_tokens.`,
    param: 'max_tokens',
  });
}
