// Finds where JSON tokens end, without building anything. JSON's own characters are ASCII, and no byte of a longer
// UTF-8 sequence looks like one, so bytes can be read one by one.

/**
 * Deepest nesting below the top level. CPython, on which most engines run, gives up at 1,000 levels by default
 * (sys.getrecursionlimit), so nothing that an engine could read is refused.
 */
export const MAX_NESTING_LEVELS = 1_000;

/** The token is malformed or the text ends within it. */
export const MALFORMED = -1;
/** More than `MAX_NESTING_LEVELS`. */
export const TOO_DEEP = -2;
/** More members at the top level than a request has. */
export const TOO_MANY = -3;

export const QUOTE = 0x22;
export const COMMA = 0x2c;
export const COLON = 0x3a;
export const BACKSLASH = 0x5c;
export const OPEN_BRACE = 0x7b;
export const CLOSE_BRACE = 0x7d;
export const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const MINUS = 0x2d;
const PLUS = 0x2b;
const DOT = 0x2e;
const ZERO = 0x30;
const NINE = 0x39;

/**
 * Bytes of a string that are looked at one by one before the native search takes over. Short strings (keys, roles) end
 * before, text with many escaped quotes stays with the loop, prose runs at the speed of memchr. Measured on Node 24.21
 * with 16, 32 and 64: equal on prose, 64 best on escaped text; a latin1 copy searched with String.indexOf was slower
 * in every class (2.5 × at 10 KB of prose, 40 × at 200 KB).
 */
const BYTES_BEFORE_NATIVE_SEARCH = 64;

/** By byte: 1 for quotes and brackets. */
const IS_STRUCTURAL = new Uint8Array(256);
for (const byte of [QUOTE, OPEN_BRACE, CLOSE_BRACE, OPEN_BRACKET, CLOSE_BRACKET]) IS_STRUCTURAL[byte] = 1;

/** Closing bytes that are due, innermost last. One for all: scanning never yields to anybody else. */
const closers = new Uint8Array(MAX_NESTING_LEVELS);

/** Offset of the first byte at or after `at` that is not JSON's whitespace. */
export function skipWhitespace(bytes: Buffer, at: number): number {
  let i = at;
  for (; i < bytes.length; i++) {
    const byte = bytes[i];
    if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) break;
  }
  return i;
}

/**
 * Offset after the closing quote of the string that opens at `start`, or MALFORMED. What is between the quotes is not
 * checked for bad escapes or control characters.
 */
export function stringEnd(bytes: Buffer, start: number): number {
  let i = start + 1;
  while (i < bytes.length) {
    const stop = Math.min(bytes.length, i + BYTES_BEFORE_NATIVE_SEARCH);
    for (; i < stop; i++) {
      const byte = bytes[i];
      if (byte === QUOTE) return i + 1;
      if (byte === BACKSLASH) i++;
    }
    const quote = bytes.indexOf(QUOTE, i);
    if (quote < 0) return MALFORMED;
    let before = quote - 1;
    while (before >= i && bytes[before] === BACKSLASH) before--;
    const isEscaped = (quote - before) % 2 === 0;
    if (!isEscaped) return quote + 1;
    i = quote + 1;
  }
  return MALFORMED;
}

/**
 * Offset after the value that starts at `start`, MALFORMED or TOO_DEEP. Scalars are checked to the letter; inside
 * objects and arrays only strings and brackets are followed.
 */
export function valueEnd(bytes: Buffer, start: number): number {
  const byte = bytes[start];
  if (byte === QUOTE) return stringEnd(bytes, start);
  if (byte === OPEN_BRACE || byte === OPEN_BRACKET) return containerEnd(bytes, start);
  if (byte === MINUS || isDigit(byte)) return numberEnd(bytes, start);
  if (byte === 0x74) return literalEnd(bytes, start, 'true');
  if (byte === 0x66) return literalEnd(bytes, start, 'false');
  return byte === 0x6e ? literalEnd(bytes, start, 'null') : MALFORMED;
}

function literalEnd(bytes: Buffer, start: number, literal: string): number {
  for (let i = 1; i < literal.length; i++) if (bytes[start + i] !== literal.charCodeAt(i)) return MALFORMED;
  return start + literal.length;
}

function containerEnd(bytes: Buffer, start: number): number {
  let depth = 0;
  for (let i = nextStructural(bytes, start); i < bytes.length; i = nextStructural(bytes, i)) {
    const byte = bytes[i] ?? 0;
    if (byte === QUOTE) {
      i = stringEnd(bytes, i);
      if (i < 0) return MALFORMED;
      continue;
    }
    const closer = byte === OPEN_BRACE ? CLOSE_BRACE : CLOSE_BRACKET;
    if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
      if (depth === MAX_NESTING_LEVELS) return TOO_DEEP;
      closers[depth++] = closer;
    } else if (closers[--depth] !== byte) return MALFORMED;
    i++;
    if (depth === 0) return i;
  }
  return MALFORMED;
}

/** Offset of the first quote or bracket at or after `at`. */
function nextStructural(bytes: Buffer, at: number): number {
  let i = at;
  while (i < bytes.length && IS_STRUCTURAL[bytes[i] ?? 0] === 0) i++;
  return i;
}

/** https://www.rfc-editor.org/rfc/rfc8259#section-6: minus, integer without leading zeros, fraction, exponent. */
function numberEnd(bytes: Buffer, start: number): number {
  let i = bytes[start] === MINUS ? start + 1 : start;
  const integerEnd = bytes[i] === ZERO ? i + 1 : digitsEnd(bytes, i);
  if (integerEnd === i) return MALFORMED;
  i = integerEnd;
  if (bytes[i] === DOT) {
    const end = digitsEnd(bytes, i + 1);
    if (end === i + 1) return MALFORMED;
    i = end;
  }
  if (bytes[i] === 0x65 || bytes[i] === 0x45) {
    const sign = bytes[i + 1];
    const digits = sign === PLUS || sign === MINUS ? i + 2 : i + 1;
    i = digitsEnd(bytes, digits);
    if (i === digits) return MALFORMED;
  }
  return i;
}

function digitsEnd(bytes: Buffer, start: number): number {
  let i = start;
  while (isDigit(bytes[i])) i++;
  return i;
}

function isDigit(byte: number | undefined): boolean {
  return byte !== undefined && byte >= ZERO && byte <= NINE;
}
