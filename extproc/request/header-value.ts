/** A header value of the form `value; name=value; name="value"`, as content-type and content-disposition have it. */
export interface HeaderValue {
  /** The part before the first semicolon, in lower case. */
  readonly value: string;
  /** By name in lower case; what stands between quotes is not unescaped. */
  readonly parameters: ReadonlyMap<string, string>;
}

const NO_PARAMETERS: ReadonlyMap<string, string> = new Map();
const VALUE = /^[ \t]*([^\s;,"]+)[ \t]*/;
const PARAMETER = /;[ \t]*(?:([!#$%&'*+.^_`|~\w-]+)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^\s";]*)))?[ \t]*/y;
/**
 * Whether a backslash before `\"` escapes the backslash or the quote is read differently by Python's email package
 * (under Starlette) and by everybody else; then they would see different parameters.
 */
const AMBIGUOUS_ESCAPE = /\\\\"/;

/**
 * Reads such a header value (https://www.rfc-editor.org/rfc/rfc9110#section-5.6.6).
 *
 * @returns undefined when it is malformed, has a parameter twice, or could be read in two ways
 */
export function parseHeaderValue(text: string): HeaderValue | undefined {
  const match = VALUE.exec(text);
  if (match?.[1] === undefined) return undefined;
  const value = match[1].toLowerCase();
  const valueLength = match[0].length;
  if (valueLength === text.length) return { value, parameters: NO_PARAMETERS };
  const parameters = AMBIGUOUS_ESCAPE.test(text) ? undefined : parseParameters(text, valueLength);
  return parameters && { value, parameters };
}

function parseParameters(text: string, start: number): Map<string, string> | undefined {
  const parameters = new Map<string, string>();
  PARAMETER.lastIndex = start;
  while (PARAMETER.lastIndex < text.length) {
    const match = PARAMETER.exec(text);
    if (match === null) return undefined;
    const name = match[1]?.toLowerCase();
    if (name === undefined) continue;
    if (parameters.has(name)) return undefined;
    parameters.set(name, match[2] ?? match[3] ?? '');
  }
  return parameters;
}
