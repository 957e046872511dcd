import { spanTag, utf8, WireReader } from './wire-reader.ts';

// envoy.config.core.v3.HeaderMap and HeaderValue
const HEADER = spanTag(1);
const KEY = spanTag(1);
const VALUE = spanTag(2);
const RAW_VALUE = spanTag(3);

const NO_VALUES: readonly string[] = [];

/**
 * The headers of a request, as Envoy sent them: only those that are asked for become strings.
 * Holds the frame that it was made from.
 */
export class RequestHeaders {
  readonly #map: WireReader;
  /** Four numbers a header: where key and value begin and end. Empty until the first question. */
  #index: number[] | undefined;

  constructor(map: WireReader) {
    this.#map = map;
  }

  /**
   * A header's value by its name in lower case, undefined when absent. A header sent several times is joined by
   * commas (RFC 9110 §5.3), so that no single value of a doubled header is ever believed.
   */
  get(name: string): string | undefined {
    let found: string | undefined;
    for (let i = this.#find(name, 0); i >= 0; i = this.#find(name, i + 4)) {
      const value = this.#valueAt(i);
      found = found === undefined ? value : `${found},${value}`;
    }
    return found;
  }

  /** Every value of a header, one for each time that it was sent. */
  all(name: string): readonly string[] {
    let i = this.#find(name, 0);
    if (i < 0) return NO_VALUES;
    const values: string[] = [];
    for (; i >= 0; i = this.#find(name, i + 4)) values.push(this.#valueAt(i));
    return values;
  }

  /** Where in the index a header of this name stands, from there on; -1 when none does. */
  #find(name: string, from: number): number {
    this.#index ??= indexHeaders(this.#map);
    const index = this.#index;
    for (let i = from; i < index.length; i += 4) {
      const keyStart = index[i] ?? 0;
      const keyEnd = index[i + 1] ?? 0;
      if (keyEnd - keyStart === name.length && isText(this.#map.bytes, keyStart, name)) return i;
    }
    return -1;
  }

  #valueAt(i: number): string {
    return utf8(this.#map.bytes, this.#index?.[i + 2] ?? 0, this.#index?.[i + 3] ?? 0);
  }
}

function indexHeaders(map: WireReader): number[] {
  const index: number[] = [];
  const header = new WireReader(map.bytes);
  for (let tag = map.tag(); tag !== 0; tag = map.tag()) {
    if (tag !== HEADER) {
      map.skip(tag);
      continue;
    }
    map.span();
    indexHeader(header.enter(map), index);
  }
  return index;
}

/** The value is in `raw_value` by default; in `value` where a runtime guard of Envoy's is turned off. */
function indexHeader(header: WireReader, index: number[]): void {
  let keyStart = 0;
  let keyEnd = 0;
  let valueStart = 0;
  let valueEnd = 0;
  for (let tag = header.tag(); tag !== 0; tag = header.tag()) {
    if (tag === KEY) {
      header.span();
      keyStart = header.spanStart;
      keyEnd = header.spanEnd;
    } else if (tag === RAW_VALUE || tag === VALUE) {
      header.span();
      valueStart = header.spanStart;
      valueEnd = header.spanEnd;
    } else {
      header.skip(tag);
    }
  }
  if (!header.broken) index.push(keyStart, keyEnd, valueStart, valueEnd);
}

function isText(bytes: Uint8Array, start: number, text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    if (bytes[start + i] !== text.charCodeAt(i)) return false;
  }
  return true;
}
