import { isUtf8 } from 'node:buffer';
import { isRefusal, type Refusal, refuse } from '../../errors/refusal.ts';
import type { BodyFacts, Span } from './body-facts.ts';
import { isUtf8Charset, readBoundary } from './content-type.ts';
import { checkModelName, refuseModelName } from './model-name.ts';
import { type PartHeaders, parsePartHeaders } from './part-headers.ts';

/** Longest header block of one part. Real ones have under 300 bytes. */
const MAX_PART_HEADER_BYTES = 8_192;
/** Most parts of a form: what Starlette, under most engines, accepts of fields and of files. */
const MAX_PARTS = 1_000;
/** Most lines of a form that only begin like a boundary. More are no accident: 32 MiB of them held us up for 0.3 s. */
const MAX_BOUNDARY_LIKE_LINES = 10_000;
/** What pydantic, in the engines, reads as true. */
const TRUTHY = /^(true|t|yes|y|on|1)$/i;

const CR = 0x0d;
const LF = 0x0a;
const DASH = 0x2d;
const BLANK_LINE = Buffer.from('\r\n\r\n');

/** What has been read so far. */
interface Form {
  model: BodyFacts['model'];
  stream: boolean;
  file: Span | undefined;
  files: number;
  boundaryLikeLines: number;
}

/**
 * Reads what routing needs from a multipart/form-data body (RFC 7578). Files are skipped, not read.
 *
 * Form parsers differ in what they forgive, and a form that two of them read differently could be routed for one model
 * and run by another; so what is not written plainly is refused: bare line feeds, text before the first part or after
 * the last, `name*`, the model as a file or in a transfer encoding.
 *
 * @param contentType the request's header, which has the boundary
 * @returns facts, or `invalid_parameter`, `model_mismatch`, `unsupported_media_type`
 */
export function readMultipartBody(body: Uint8Array, contentType: string): BodyFacts | Refusal {
  const boundary = readBoundary(contentType);
  if (typeof boundary !== 'string') return boundary;
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  const at = skipLineBreaks(bytes, 0);
  const delimiter = Buffer.from(`\r\n--${boundary}`, 'latin1');
  if (!startsWith(bytes, delimiter.subarray(2), at)) {
    return refuseForm('It does not start with the boundary that its content-type names.');
  }
  const form: Form = { model: undefined, stream: false, file: undefined, files: 0, boundaryLikeLines: 0 };
  const refusal = readParts(bytes, delimiter, at + delimiter.length - 2, form);
  if (refusal !== undefined) return refusal;
  const { model, stream } = form;
  return {
    model,
    stream,
    maxOutputTokens: undefined,
    answers: 1,
    streamOptions: undefined,
    // Which of several an engine takes is its own to say.
    file: form.files === 1 ? form.file : undefined,
    insertion: { kind: 'multipart', at, boundary },
  };
}

function refuseForm(what: string): Refusal {
  return refuse('invalid_parameter', { message: `The multipart body is malformed. ${what}` });
}

function skipLineBreaks(bytes: Buffer, at: number): number {
  let i = at;
  while (bytes[i] === CR && bytes[i + 1] === LF) i += 2;
  return i;
}

function startsWith(bytes: Buffer, text: Buffer, at: number): boolean {
  return bytes.length >= at + text.length && text.compare(bytes, at, at + text.length) === 0;
}

/** Reads all parts; `first` is the offset after the first boundary. */
function readParts(bytes: Buffer, delimiter: Buffer, first: number, form: Form): Refusal | undefined {
  let at = first;
  for (let parts = 0; parts <= MAX_PARTS; parts++) {
    if (bytes[at] === DASH && bytes[at + 1] === DASH) {
      return skipLineBreaks(bytes, at + 2) === bytes.length ? undefined : refuseForm('It goes on after its last part.');
    }
    if (bytes[at] !== CR || bytes[at + 1] !== LF) return refuseForm('A line break (CR LF) must follow each boundary.');
    const headers = readPartHeaders(bytes, at + 2);
    if (isRefusal(headers)) return headers;
    const { contentStart } = headers;
    // Some parsers take a boundary right after the headers for the part's end, others for its content.
    if (startsWith(bytes, delimiter.subarray(2), contentStart)) return refuseForm('A part ends before its content.');
    const contentEnd = findDelimiter(bytes, delimiter, contentStart, form);
    if (contentEnd < 0) return refuseForm('Its last boundary, with two more dashes, is missing.');
    const refusal = noteField(bytes, headers.fields, contentStart, contentEnd, form);
    if (refusal !== undefined) return refusal;
    at = contentEnd + delimiter.length;
  }
  return refuseForm(`It has more than ${MAX_PARTS} parts.`);
}

interface LocatedHeaders {
  readonly fields: PartHeaders;
  readonly contentStart: number;
}

function readPartHeaders(bytes: Buffer, start: number): LocatedHeaders | Refusal {
  const end = bytes.subarray(start, start + MAX_PART_HEADER_BYTES).indexOf(BLANK_LINE);
  const fields = end < 0 ? undefined : parsePartHeaders(bytes.toString('latin1', start, start + end));
  if (fields === undefined) {
    return refuseForm(
      'Each part needs a header such as Content-Disposition: form-data; name="model", and a blank line.',
    );
  }
  return { fields, contentStart: start + end + BLANK_LINE.length };
}

/**
 * Offset of the next delimiter at or after `from`, or -1 (also beyond `MAX_BOUNDARY_LIKE_LINES`). A longer line that
 * begins with the boundary is content, if it goes on so that no parser takes it for a delimiter; readParts() refuses
 * the others.
 */
function findDelimiter(bytes: Buffer, delimiter: Buffer, from: number, form: Form): number {
  let at = bytes.indexOf(delimiter, from);
  while (at >= 0 && form.boundaryLikeLines <= MAX_BOUNDARY_LIKE_LINES) {
    const next = bytes[at + delimiter.length];
    if (next === undefined) return -1;
    if (next <= 0x20 || next === DASH) return at;
    form.boundaryLikeLines++;
    at = bytes.indexOf(delimiter, at + delimiter.length);
  }
  return -1;
}

function noteField(bytes: Buffer, part: PartHeaders, start: number, end: number, form: Form): Refusal | undefined {
  if (part.name === 'stream') form.stream = TRUTHY.test(bytes.toString('latin1', start, Math.min(end, start + 8)));
  if (part.name === 'file') {
    form.file = { start, end };
    form.files++;
  }
  if (part.name !== 'model') return undefined;
  if (form.model !== undefined) {
    return refuse('model_mismatch', { message: 'The form has "model" twice. Name the model once.', param: 'model' });
  }
  if (part.isFile) return refuseModelName('must be a plain field of the form, not a file.');
  const isPlain = part.charset === undefined || isUtf8Charset(part.charset);
  if (!isPlain || part.isEncoded || !isUtf8(bytes.subarray(start, end))) {
    return refuseModelName('must be written as UTF-8, without a transfer encoding.');
  }
  const value = bytes.toString('utf8', start, end);
  form.model = { value, start, end };
  return checkModelName(value);
}
