/** Tokens of one exchange. */
export interface Tokens {
  readonly prompt: number;
  /** Those of the prompt that the engine had cached; 0 where it did not say. */
  readonly cachedPrompt: number;
  readonly completion: number;
}

/** What is known of an exchange without usage. */
interface Evidence {
  /** As estimated from the request when it was picked. */
  readonly promptTokens: number;
  /** As forecast then; 0 where the endpoint generates no text. */
  readonly outputTokens: number;
  /** Whether the client asked for a stream of events. */
  readonly stream: boolean;
  /** HTTP status of the answer, 0 for none. */
  readonly status: number;
  readonly responseBytes: number;
}

/**
 * Bytes of an event stream for each token. Engines send one event a token; vLLM's chat chunk,
 * `data: {"id":"chatcmpl-<32>","object":"chat.completion.chunk","created":<10>,"model":"<name>","choices":[{"index":0,
 * "delta":{"content":" word"},"logprobs":null,"finish_reason":null}]}`, has 200 to 240 bytes; completions and responses
 * are near it, Anthropic's content_block_delta has about 130.
 */
const EVENT_BYTES_PER_TOKEN = 220;

/** Bytes of a JSON answer around its text: id, object, model, choices, usage. */
const JSON_ENVELOPE_BYTES = 400;
/** English text; JSON escapes make it a little more, other scripts a little less. */
const TEXT_BYTES_PER_TOKEN = 4;

/** The tokens of an answer that told no usage, by its size. An answer that is an error generated nothing. */
export function tokensBySize(evidence: Evidence): Tokens {
  const { promptTokens, outputTokens, stream, status, responseBytes } = evidence;
  if (status < 200 || status >= 300) return { prompt: 0, cachedPrompt: 0, completion: 0 };
  if (outputTokens === 0) return { prompt: promptTokens, cachedPrompt: 0, completion: 0 };
  const completion = stream
    ? responseBytes / EVENT_BYTES_PER_TOKEN
    : Math.max(0, responseBytes - JSON_ENVELOPE_BYTES) / TEXT_BYTES_PER_TOKEN;
  return { prompt: promptTokens, cachedPrompt: 0, completion: Math.ceil(completion) };
}
