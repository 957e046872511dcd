import type { ApiObject } from './api-object.ts';

/** What the API server says went wrong: the part of `meta/v1 Status` that is acted on. */
export interface ApiFailure {
  /** As an HTTP status. */
  readonly code: number;
  readonly message: string;
  /** How long to stay away, milliseconds. */
  readonly retryAfterMs?: number;
}

/** One line of a watch. */
export type WatchEvent =
  | { readonly kind: 'set' | 'removed'; readonly object: ApiObject }
  /** Everything up to this version was told; `listed` when that ends the objects that were there at first. */
  | { readonly kind: 'bookmark'; readonly resourceVersion: string; readonly listed: boolean }
  | { readonly kind: 'failure'; readonly failure: ApiFailure }
  | { readonly kind: 'malformed' };

/** https://kubernetes.io/docs/reference/using-api/api-concepts/#streaming-lists */
const LISTED_ANNOTATION = 'k8s.io/initial-events-end';

const MALFORMED: WatchEvent = { kind: 'malformed' };

type Fields = Readonly<Record<string, unknown>>;

/** Reads a line of a watch. Never throws. */
export function readWatchEvent(line: string): WatchEvent {
  const { type, object } = fieldsOf(parse(line));
  if (type === 'ERROR') return { kind: 'failure', failure: readFailure(object, 500) };
  const metadata = fieldsOf(fieldsOf(object).metadata);
  const { resourceVersion, name, uid } = metadata;
  if (typeof resourceVersion !== 'string') return MALFORMED;
  if (type === 'BOOKMARK') {
    const listed = fieldsOf(metadata.annotations)[LISTED_ANNOTATION] === 'true';
    return { kind: 'bookmark', resourceVersion, listed };
  }
  if (typeof name !== 'string' || typeof uid !== 'string') return MALFORMED;
  if (type === 'ADDED' || type === 'MODIFIED') return { kind: 'set', object: object as ApiObject };
  return type === 'DELETED' ? { kind: 'removed', object: object as ApiObject } : MALFORMED;
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
export function fieldsOf(value: unknown): Fields {
  return typeof value === 'object' && value !== null ? (value as Fields) : {};
}
