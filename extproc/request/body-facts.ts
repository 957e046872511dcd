/** What routing needs to know of a request's body. Offsets are bytes into that body. */
export interface BodyFacts {
  /** The model that the body names, checked. */
  readonly model: ModelField | undefined;
  /** Whether the client asked for a stream of events. */
  readonly stream: boolean;
  /**
   * The client's own limit on each answer, in tokens: a safe integer ≥ 1, and no promise that the model can do as much.
   * The largest of those that engines read at the endpoint; 0 is none to them.
   */
  readonly maxOutputTokens: number | undefined;
  /** Answers generated at once, `n` or `best_of` to each prompt: a safe integer ≥ 1. */
  readonly answers: number;
  /** The value of `stream_options`; undefined where there is none. Only that it ends where it ends is certain. */
  readonly streamOptions: Span | undefined;
  /** The content of a form's only part named `file`. */
  readonly file: Span | undefined;
  /** Where a model would be written into a body that names none. */
  readonly insertion: Insertion;
}

/** Where a value stands as it is written: in JSON a string's quotes are part of it. */
export interface Span {
  /** Its first byte. */
  readonly start: number;
  /** The byte after it. */
  readonly end: number;
}

interface ModelField extends Span {
  readonly value: string;
}

type Insertion =
  /** Right after the opening brace; `comma` where another member follows. */
  | { readonly kind: 'json'; readonly at: number; readonly comma: boolean }
  /** Before the first part. */
  | { readonly kind: 'multipart'; readonly at: number; readonly boundary: string };
