import { spanTag, varintTag } from './wire-reader.ts';

const INITIAL_BYTES = 4096;
/** A message above this takes the buffer with it instead of being copied out; the writer starts a new one. */
const HAND_OVER_ABOVE_BYTES = 256 * 1024;

/**
 * Writes a protobuf message from its end to its beginning, so that the length of an inner message is known when its
 * turn comes and nothing is measured twice. Fields therefore appear in the reverse order of the calls.
 */
export class WireWriter {
  #buffer = Buffer.allocUnsafe(INITIAL_BYTES);
  /** Everything from here to the end of the buffer is written. */
  #at = INITIAL_BYTES;

  /** How much is written: taken before an inner message's fields, given to `message` after them. */
  get length(): number {
    return this.#buffer.length - this.#at;
  }

  /** Closes the inner message whose fields were written since `length` was `mark`. */
  message(field: number, mark: number): void {
    this.#varint(this.length - mark);
    this.#varint(spanTag(field));
  }

  /** A string or, for a field of type bytes, the UTF-8 of one. */
  text(field: number, value: string): void {
    const length = Buffer.byteLength(value);
    this.#reserve(length);
    this.#at -= length;
    this.#buffer.write(value, this.#at);
    this.#varint(length);
    this.#varint(spanTag(field));
  }

  bytes(field: number, value: Uint8Array): void {
    this.#reserve(value.length);
    this.#at -= value.length;
    this.#buffer.set(value, this.#at);
    this.#varint(value.length);
    this.#varint(spanTag(field));
  }

  /** A non-negative integer, an enum or a bool (1). */
  number(field: number, value: number): void {
    this.#varint(value);
    this.#varint(varintTag(field));
  }

  /** Forgets what a caller wrote that did not come to its end. */
  clear(): void {
    this.#at = this.#buffer.length;
  }

  /** The message; the writer is empty again. */
  finish(): Uint8Array {
    const written = this.#buffer.subarray(this.#at);
    if (written.length > HAND_OVER_ABOVE_BYTES) {
      this.#buffer = Buffer.allocUnsafe(INITIAL_BYTES);
      this.#at = INITIAL_BYTES;
      return written;
    }
    this.#at = this.#buffer.length;
    return Buffer.from(written);
  }

  #varint(value: number): void {
    let length = 1;
    for (let rest = value; rest >= 128; rest = Math.floor(rest / 128)) length++;
    this.#reserve(length);
    this.#at -= length;
    let rest = value;
    for (let i = 0; i < length; i++) {
      this.#buffer[this.#at + i] = i < length - 1 ? (rest % 128) | 0x80 : rest;
      rest = Math.floor(rest / 128);
    }
  }

  #reserve(length: number): void {
    if (length <= this.#at) return;
    const written = this.length;
    const larger = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, written + length + INITIAL_BYTES));
    this.#buffer.copy(larger, larger.length - written, this.#at);
    this.#buffer = larger;
    this.#at = larger.length - written;
  }
}
