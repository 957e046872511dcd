import { COMMA, OPEN_BRACKET, QUOTE, skipWhitespace, valueEnd } from './json-scan.ts';

/** Prompts that are counted one by one: more are no accident, and 32 MiB of them would hold us up. */
const MAX_COUNTED = 10_000;
/** The shortest prompt of a list, and its comma: `"",`. */
const MIN_PROMPT_BYTES = 3;

/**
 * The prompts in the value of `prompt`, each of which is answered for itself: as many as a list has strings or lists.
 * Numbers are tokens, a list of them is one prompt. Of very many it is the most that there is room for.
 *
 * @param start of the value, whose strings and brackets were found closed
 * @param end the byte after it
 */
export function promptCount(bytes: Buffer, start: number, end: number): number {
  if (bytes[start] !== OPEN_BRACKET) return 1;
  let at = skipWhitespace(bytes, start + 1);
  if (bytes[at] !== QUOTE && bytes[at] !== OPEN_BRACKET) return 1;
  for (let count = 1; count < MAX_COUNTED; count++) {
    const promptEnd = valueEnd(bytes, at);
    const next = promptEnd < 0 ? -1 : skipWhitespace(bytes, promptEnd);
    // What is not JSON is left to the engine.
    if (bytes[next] !== COMMA) return count;
    at = skipWhitespace(bytes, next + 1);
  }
  return MAX_COUNTED + Math.ceil((end - at) / MIN_PROMPT_BYTES);
}
