import { parseHeaderValue } from './header-value.ts';

/** What the headers of one part of a form say. */
export interface PartHeaders {
  readonly name: string;
  readonly isFile: boolean;
  readonly charset: string | undefined;
  /** Whether the content is in base64 or the like. */
  readonly isEncoded: boolean;
}

const HEADER_LINE = /^([!#$%&'*+.^_`|~\w-]+):[ \t]*([^\r\n\0]*)$/;
const UNENCODED = /^[ \t]*(7bit|8bit|binary)?[ \t]*$/i;

/**
 * Reads the header lines of a part of a multipart/form-data body (RFC 7578 §4.2).
 *
 * @param block the lines without the blank one, as latin1
 * @returns undefined when they are malformed, name no field, or could be read in two ways: a header twice, folded
 * lines, `name*` (Python reads it as `name`), escapes in the name
 */
export function parsePartHeaders(block: string): PartHeaders | undefined {
  const headers = new Map<string, string>();
  for (const line of block.split('\r\n')) {
    const [, name, value] = HEADER_LINE.exec(line) ?? [];
    if (name === undefined || value === undefined || headers.has(name.toLowerCase())) return undefined;
    headers.set(name.toLowerCase(), value);
  }
  const disposition = parseHeaderValue(headers.get('content-disposition') ?? '');
  const name = disposition?.parameters.get('name');
  if (disposition?.value !== 'form-data' || name === undefined || name.includes('\\')) return undefined;
  const names = [...disposition.parameters.keys()];
  if (names.some(parameter => parameter.startsWith('name*'))) return undefined;
  return {
    name,
    isFile: names.some(parameter => /^filename(\*|$)/.test(parameter)),
    charset: parseHeaderValue(headers.get('content-type') ?? '')?.parameters.get('charset'),
    isEncoded: !UNENCODED.test(headers.get('content-transfer-encoding') ?? ''),
  };
}
