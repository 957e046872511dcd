import type { Answer } from '../answer.ts';

/** What an endpoint makes of a request: what the engine is to do, and how the outcome is said in its dialect. */
export interface Work {
  /** The name that the request asked for; undefined means the pod's first. */
  readonly model: string | undefined;
  /** A sequence each. */
  readonly prompts: readonly Prompt[];
  /**
   * Output tokens at most; undefined: as many as the model likes to say; 0: none, the prompts are only read.
   */
  readonly maxOutputTokens: number | undefined;
  /** The JSON answer. */
  whole(answer: Answer): object;
  /** The answer as events, where the client asked for a stream. */
  readonly stream: ((answer: Answer) => EventStream) | undefined;
}

/** Server-sent events of one answer, each method returning the bytes as text. */
export interface EventStream {
  /** Comes with the first token. */
  open(): string;
  /** @param tokens of which the text is made */
  delta(text: string, tokens: number): string;
  /** After the last token. */
  close(): string;
}

export interface Prompt {
  readonly text: string;
  readonly tokens: number;
}

/** A prompt of about a token for every four bytes, the usual estimate for English text. */
export function promptOf(text: string): Prompt {
  return { text, tokens: Math.max(1, Math.ceil(Buffer.byteLength(text) / 4)) };
}

/** One event without a name, as OpenAI's older dialects send them. */
export function dataEvent(value: object): string {
  return `data: ${JSON.stringify(value)}\n\n`;
}

/** One event named by its type, which its data repeats. */
export function namedEvent(type: string, fields: object = {}): string {
  return `event: ${type}\ndata: ${JSON.stringify({ type, ...fields })}\n\n`;
}
