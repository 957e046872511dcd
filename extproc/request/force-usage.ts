import type { BodyEdit } from './body-edit.ts';
import type { BodyFacts } from './body-facts.ts';
import type { InferenceEndpoint } from './endpoints.ts';
import { CLOSE_BRACE, COLON, COMMA, OPEN_BRACE, QUOTE, skipWhitespace, stringEnd, valueEnd } from './json-scan.ts';

/** Only these have `stream_options`; Responses and Messages tell usage in their streams anyway. */
const WITH_STREAM_OPTIONS: ReadonlySet<string> = new Set(['/v1/chat/completions', '/v1/completions']);
const KEY = 'include_usage';
/** Longest spelling of the key, every character escaped, and the quotes. */
const MAX_KEY_TOKEN_BYTES = KEY.length * 6 + 2;
const NULL_START = 0x6e;

/**
 * The edits after which a stream is asked to tell its usage: `stream_options.include_usage` is true. None where that is
 * so already, where no stream is asked for, or where `stream_options` is no object, which the engine refuses.
 *
 * @param facts what reading this same body gave
 */
export function usageEdits(endpoint: InferenceEndpoint, body: Uint8Array, facts: BodyFacts): readonly BodyEdit[] {
  if (!facts.stream || !WITH_STREAM_OPTIONS.has(endpoint.path)) return [];
  const { streamOptions, insertion } = facts;
  // A body that asks for a stream has a member, so that a comma is due.
  if (streamOptions === undefined) return [inserted(insertion.at, `"stream_options":{"${KEY}":true},`)];
  const { start, end } = streamOptions;
  if (body[start] === NULL_START) return [{ start, end, text: `{"${KEY}":true}` }];
  return body[start] === OPEN_BRACE ? withinOptions(Buffer.from(body.buffer, body.byteOffset, end), start) : [];
}

function inserted(at: number, text: string): BodyEdit {
  return { start: at, end: at, text };
}

/** Every value that the key has becomes true: of two, engines may believe either. What is not JSON is left to them. */
function withinOptions(bytes: Buffer, start: number): readonly BodyEdit[] {
  const edits: BodyEdit[] = [];
  let isThere = false;
  let key = skipWhitespace(bytes, start + 1);
  const isEmpty = bytes[key] === CLOSE_BRACE;
  while (bytes[key] === QUOTE) {
    const keyEnd = stringEnd(bytes, key);
    const colon = skipWhitespace(bytes, keyEnd);
    const value = skipWhitespace(bytes, colon + 1);
    const end = keyEnd < 0 || bytes[colon] !== COLON ? -1 : valueEnd(bytes, value);
    if (end < 0) return [];
    if (isUsageKey(bytes, key, keyEnd)) {
      isThere = true;
      if (bytes.toString('latin1', value, end) !== 'true') edits.push({ start: value, end, text: 'true' });
    }
    const next = skipWhitespace(bytes, end);
    key = bytes[next] === COMMA ? skipWhitespace(bytes, next + 1) : next;
  }
  if (bytes[key] !== CLOSE_BRACE) return [];
  return isThere ? edits : [inserted(start + 1, `"${KEY}":true${isEmpty ? '' : ','}`)];
}

function isUsageKey(bytes: Buffer, start: number, end: number): boolean {
  if (end - start > MAX_KEY_TOKEN_BYTES) return false;
  try {
    return JSON.parse(bytes.toString('utf8', start, end)) === KEY;
  } catch {
    return false;
  }
}
