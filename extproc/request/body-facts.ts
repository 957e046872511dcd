/** What routing needs to know of a request's body. Offsets are bytes into that body. */
export interface BodyFacts {
  /** The model that the body names, checked. */
  readonly model: ModelField | undefined;
  /** Whether the client asked for a stream of events. */
  readonly stream: boolean;
  /** The client's own limit on the answer, in tokens: a safe integer ≥ 0, and no promise that the model can do as much. */
  readonly maxOutputTokens: number | undefined;
  /** Where a model would be written into a body that names none. */
  readonly insertion: Insertion;
}

interface ModelField {
  readonly value: string;
  /** First byte of the value as it is written: in JSON the opening quote. */
  readonly start: number;
  /** The byte after the value: in JSON the one after the closing quote. */
  readonly end: number;
}

type Insertion =
  /** Right after the opening brace; `comma` where another member follows. */
  | { readonly kind: 'json'; readonly at: number; readonly comma: boolean }
  /** Before the first part. */
  | { readonly kind: 'multipart'; readonly at: number; readonly boundary: string };
