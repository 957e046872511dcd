import OpenAI, { APIError } from 'openai';

const MESSAGES = [{ role: 'user' as const, content: 'What lies beyond the harbour?' }];

/** What a stream said, put together. */
export interface StreamedChat {
  readonly text: string;
  readonly finishReason: string | null;
  /** Undefined where the stream carried no usage. */
  readonly completionTokens: number | undefined;
}

/** The official Node client as a new user sets it up: no retries, which would hide failures. */
export function openAiClient(baseUrl: string, apiKey = 'any_key'): OpenAI {
  return new OpenAI({ baseURL: baseUrl, apiKey, maxRetries: 0 });
}

/** A whole answer of `maxTokens` tokens. */
export function chat(client: OpenAI, model: string, maxTokens: number): Promise<OpenAI.ChatCompletion> {
  return client.chat.completions.create({ model, messages: MESSAGES, max_tokens: maxTokens });
}

/** The same as a stream, read to its end with the client's own reader. */
export async function streamedChat(client: OpenAI, model: string, maxTokens: number): Promise<StreamedChat> {
  const stream = await client.chat.completions.create({
    model,
    messages: MESSAGES,
    max_tokens: maxTokens,
    stream: true,
    stream_options: { include_usage: true },
  });
  let text = '';
  let finishReason: string | null = null;
  let completionTokens: number | undefined;
  for await (const { choices, usage } of stream) {
    completionTokens = usage?.completion_tokens ?? completionTokens;
    for (const choice of choices) {
      text += choice.delta.content ?? '';
      finishReason = choice.finish_reason ?? finishReason;
    }
  }
  return { text, finishReason, completionTokens };
}

/** The events of a stream as sent: the client hides the end mark. */
export async function streamedEvents(client: OpenAI, model: string, maxTokens: number): Promise<string[]> {
  const body = { model, messages: MESSAGES, max_tokens: maxTokens, stream: true as const };
  const response = await client.chat.completions.create(body).asResponse();
  const text = await response.text();
  return text.split('\n\n').filter(event => event !== '');
}

/** Vectors by input. */
export async function embeddings(client: OpenAI, model: string, input: string[]): Promise<number[][]> {
  const answer = await client.embeddings.create({ model, input });
  return answer.data.map(({ embedding }) => embedding);
}

/** Ids, as listed. */
export async function modelIds(client: OpenAI): Promise<string[]> {
  const ids: string[] = [];
  for await (const { id } of client.models.list()) ids.push(id);
  return ids;
}

/**
 * The error that the client raises for a chat with this model.
 *
 * @throws Error when it is answered
 */
export async function chatError(client: OpenAI, model: string): Promise<APIError> {
  try {
    await chat(client, model, 1);
  } catch (error) {
    if (error instanceof APIError) return error;
    throw error;
  }
  throw new Error(`${model} was answered`);
}
