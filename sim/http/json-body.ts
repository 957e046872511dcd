import { type ApiError, badRequest } from './api-error.ts';

/** A JSON object as a client sent it: nothing is known of its fields. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** The body as an object, or vLLM's refusal of it. */
export function parseJsonBody(body: Buffer, contentType: string | undefined): JsonObject | ApiError {
  if (contentType?.split(';')[0]?.trim().toLowerCase() !== 'application/json') {
    return badRequest("Unsupported Media Type: Only 'application/json' is allowed");
  }
  let value: unknown;
  try {
    value = JSON.parse(body.toString());
  } catch (error) {
    return badRequest(`JSON decode error: ${error instanceof Error ? error.message : error}`);
  }
  return isObject(value) ? value : badRequest('The body must be a JSON object.');
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Where a stream tells its usage: nowhere, in a last chunk, or in each. */
export type StreamedUsage = 'none' | 'last' | 'each';

/** The fields that every endpoint that generates shares. */
export interface GenerationFields {
  readonly model: string | undefined;
  readonly maxOutputTokens: number | undefined;
  readonly stream: boolean;
  readonly usage: StreamedUsage;
}

/** @param limitNames fields that limit the output, the first present one counts */
export function readGenerationFields(body: JsonObject, limitNames: readonly string[]): GenerationFields | ApiError {
  const model = body.model ?? undefined;
  if (model !== undefined && typeof model !== 'string') return badRequest('model must be a string.', 'model');
  const stream = body.stream ?? false;
  if (typeof stream !== 'boolean') return badRequest('stream must be true or false.', 'stream');
  const streamOptions = body.stream_options ?? undefined;
  if (streamOptions !== undefined && !stream) {
    return badRequest('Stream options can only be defined when `stream=True`.', 'stream_options');
  }
  const limitName = limitNames.find(name => body[name] !== undefined && body[name] !== null);
  const limit = limitName === undefined ? undefined : body[limitName];
  if (limit !== undefined && !(Number.isSafeInteger(limit) && (limit as number) >= 1)) {
    return badRequest(`${limitName} must be at least 1.`, limitName);
  }
  return {
    model,
    stream,
    maxOutputTokens: limit as number | undefined,
    usage: readStreamedUsage(streamOptions),
  };
}

/** As vLLM has it, `continuous_usage_stats` says nothing without `include_usage`. */
function readStreamedUsage(streamOptions: unknown): StreamedUsage {
  if (!isObject(streamOptions) || streamOptions.include_usage !== true) return 'none';
  return streamOptions.continuous_usage_stats === true ? 'each' : 'last';
}

/**
 * The text of a message's content: a string, or parts of which those with a `text` count.
 *
 * @returns undefined where it is neither
 */
export function contentText(content: unknown): string | undefined {
  if (typeof content === 'string') return content;
  if (!Array.isArray(content)) return undefined;
  return content.map(part => (isObject(part) && typeof part.text === 'string' ? part.text : '')).join('');
}

/** All that a list of messages says, a line each; undefined where it is no list of messages. */
export function messagesText(messages: unknown): string | undefined {
  if (!Array.isArray(messages) || messages.length === 0 || !messages.every(isObject)) return undefined;
  return messages.map(({ content }) => contentText(content) ?? '').join('\n');
}
