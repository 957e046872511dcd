import { type ApiFailure, fieldsOf, parse, readFailure } from '../../api/api-failure.ts';
import type { ApiObject } from './api-object.ts';

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
