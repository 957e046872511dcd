/** What the API server says went wrong: the part of `meta/v1 Status` that is acted on. */
export interface ApiFailure {
  /** As an HTTP status. */
  readonly code: number;
  readonly message: string;
  /** How long to stay away, milliseconds. */
  readonly retryAfterMs?: number;
}

/** Reads a `meta/v1 Status`; what is none has this code and no message. */
export function readFailure(status: unknown, otherwise: number): ApiFailure {
  const { code, message, details } = fieldsOf(status);
  const { retryAfterSeconds } = fieldsOf(details);
  return {
    code: typeof code === 'number' ? code : otherwise,
    message: typeof message === 'string' ? message : `status ${otherwise}`,
    ...(typeof retryAfterSeconds === 'number' && { retryAfterMs: retryAfterSeconds * 1_000 }),
  };
}

/** Undefined for what is no JSON. */
export function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The fields of a mapping; none of anything else. */
export function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
}
