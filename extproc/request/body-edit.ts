import type { Span } from './body-facts.ts';

/** Bytes of a body that give way to a text; where the span is empty, the text is inserted before its start. */
export interface BodyEdit extends Span {
  readonly text: string;
}

/**
 * The body with all edits made; every other byte stays as it is, and without any it is returned itself, not copied.
 * Edits do not overlap; those that insert at one place are inserted in the order given.
 */
export function applyEdits(body: Uint8Array, edits: readonly BodyEdit[]): Uint8Array {
  if (edits.length === 0) return body;
  const pieces: Uint8Array[] = [];
  let at = 0;
  for (const { start, end, text } of edits.toSorted((a, b) => a.start - b.start)) {
    pieces.push(body.subarray(at, start), Buffer.from(text));
    at = end;
  }
  pieces.push(body.subarray(at));
  return Buffer.concat(pieces);
}
