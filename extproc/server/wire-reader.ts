import { asBuffer } from './as-buffer.ts';

/** Wire types of protobuf, https://protobuf.dev/programming-guides/encoding/#structure. Groups (3, 4) are not spoken here. */
const VARINT = 0;
const FIXED64 = 1;
const SPAN = 2;
const FIXED32 = 5;

const MAX_VARINT_BYTES = 10;
const MAX_TAG = 2 ** 32 - 1;

/** The tag of a field with a length: string, bytes, message. */
export function spanTag(field: number): number {
  return (field << 3) | SPAN;
}

/** The tag of a double. */
export function doubleTag(field: number): number {
  return (field << 3) | FIXED64;
}

/** The tag of a field that is a plain number, bool or enum. */
export function varintTag(field: number): number {
  return (field << 3) | VARINT;
}

/**
 * Walks one protobuf message without building objects. It never throws: where the bytes are not
 * protobuf, `broken` is set, the walk ends, and whatever was read before must not be believed.
 */
export class WireReader {
  readonly bytes: Uint8Array;
  /** Set for good once the bytes turn out not to be a message. */
  broken = false;
  /** What the last `span()` covered. */
  spanStart = 0;
  spanEnd = 0;
  #at: number;
  #end: number;
  readonly #outer: WireReader | undefined;

  constructor(bytes: Uint8Array, start = 0, end = bytes.length, outer?: WireReader) {
    this.bytes = bytes;
    this.#at = start;
    this.#end = end;
    this.#outer = outer;
  }

  /** A reader of the message that is the value of the field just met. When it breaks, this one is broken too. */
  inner(): WireReader {
    this.span();
    return new WireReader(this.bytes, this.spanStart, this.spanEnd, this);
  }

  /** Starts over at another message of the same bytes: the one that `outer.span()` just found. */
  enter(outer: WireReader): this {
    this.#at = outer.spanStart;
    this.#end = outer.spanEnd;
    return this;
  }

  /** The next field's tag, or 0 at the end of the message and when it is broken. */
  tag(): number {
    if (this.#at >= this.#end) return 0;
    const tag = this.varint();
    if (tag < 8 || tag > MAX_TAG) return this.#fail();
    return tag;
  }

  /** A number; exact up to 2^53, an approximation above. */
  varint(): number {
    let value = 0;
    let scale = 1;
    for (let i = 0; i < MAX_VARINT_BYTES && this.#at < this.#end; i++) {
      const byte = this.bytes[this.#at++] ?? 0;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      scale *= 128;
    }
    return this.#fail();
  }

  /** Moves over a field with a length and leaves its place in `spanStart` and `spanEnd`. */
  span(): void {
    const length = this.varint();
    if (this.broken || length > this.#end - this.#at) {
      this.#fail();
      this.spanStart = this.#end;
    } else {
      this.spanStart = this.#at;
      this.#at += length;
    }
    this.spanEnd = this.#at;
  }

  /** A double. */
  double(): number {
    const at = this.#at;
    this.#over(8);
    return this.broken ? 0 : asBuffer(this.bytes).readDoubleLE(at);
  }

  /** A field with a length, as UTF-8 text. */
  text(): string {
    this.span();
    return utf8(this.bytes, this.spanStart, this.spanEnd);
  }

  /** Moves over a field that nobody wants. */
  skip(tag: number): void {
    const wireType = tag & 7;
    if (wireType === VARINT) this.varint();
    else if (wireType === SPAN) this.span();
    else if (wireType === FIXED64) this.#over(8);
    else if (wireType === FIXED32) this.#over(4);
    else this.#fail();
  }

  /** For a reader that finds the message not to be what it should. */
  reject(): void {
    this.#fail();
  }

  #over(length: number): void {
    if (length > this.#end - this.#at) this.#fail();
    else this.#at += length;
  }

  #fail(): number {
    this.broken = true;
    this.#at = this.#end;
    if (this.#outer !== undefined) this.#outer.#fail();
    return 0;
  }
}

/** Reads one field into `target`, or returns false for one that it does not want. */
type FieldReader<T> = (tag: number, message: WireReader, target: T) => boolean;

/** Walks a message to its end; fields that `read` does not want are skipped. */
export function eachField<T>(message: WireReader, target: T, read: FieldReader<T>): T {
  for (let tag = message.tag(); tag !== 0; tag = message.tag()) {
    if (!read(tag, message, target)) message.skip(tag);
  }
  return target;
}

/** Text between two places; what is not UTF-8 becomes U+FFFD. */
export function utf8(bytes: Uint8Array, start: number, end: number): string {
  return asBuffer(bytes).toString('utf8', start, end);
}
