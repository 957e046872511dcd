import Anthropic, { APIError } from '@anthropic-ai/sdk';

const MESSAGES = [{ role: 'user' as const, content: 'What lies beyond the harbour?' }];

/** Anthropic's official Node client; its base URL has no /v1, and retries would hide failures. */
export function anthropicClient(baseUrl: string, apiKey = 'any_key'): Anthropic {
  return new Anthropic({ baseURL: baseUrl, apiKey, maxRetries: 0 });
}

/** A whole answer. */
export function message(client: Anthropic, model: string, maxTokens: number): Promise<Anthropic.Message> {
  return client.messages.create({ model, max_tokens: maxTokens, messages: MESSAGES });
}

/** The answer that the client puts together from a stream's events. */
export function streamedMessage(client: Anthropic, model: string, maxTokens: number): Promise<Anthropic.Message> {
  return client.messages.stream({ model, max_tokens: maxTokens, messages: MESSAGES }).finalMessage();
}

/**
 * The error that the client raises for a message to this model.
 *
 * @throws Error when it is answered
 */
export async function messageError(client: Anthropic, model: string): Promise<APIError> {
  try {
    await message(client, model, 1);
  } catch (error) {
    if (error instanceof APIError) return error;
    throw error;
  }
  throw new Error(`${model} was answered`);
}
