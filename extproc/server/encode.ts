import { WireWriter } from './wire-writer.ts';

/** Names to values; names in lower case. */
type Headers = Readonly<Record<string, string>>;

/** Namespace to keys to values: what later filters, the load balancer and the access log read. */
type DynamicMetadata = Readonly<Record<string, Readonly<Record<string, string>>>>;

/** Where a request goes: the answer to its body. */
export interface Routing {
  readonly setHeaders: Headers;
  /** A new body. `content-length` is set along with it: without, Envoy fails with 500. */
  readonly body?: Uint8Array;
  readonly metadata: DynamicMetadata;
}

/** An answer to the client by us; the request goes nowhere. */
export interface Immediate {
  readonly status: number;
  readonly headers: Headers;
  readonly body: string;
  /** What access logs show as response code details; no spaces. */
  readonly details: string;
  /** For access logs. */
  readonly metadata?: DynamicMetadata;
}

// ProcessingResponse.response, one answer per kind of message
const REQUEST_HEADERS = 1;
const REQUEST_BODY = 3;
const RESPONSE_TRAILERS = 6;
const IMMEDIATE_RESPONSE = 7;
const DYNAMIC_METADATA = 8;
// CommonResponse
const HEADER_MUTATION = 2;
const BODY_MUTATION = 3;
const CLEAR_ROUTE_CACHE = 5;
/** HeaderValueOption.append_action: the load balancer reads the first value, so one from the client must not stay. */
const OVERWRITE_IF_EXISTS_OR_ADD = 2;

/** The writer is used by one call at a time: encoding is synchronous. */
const writer = new WireWriter();

/** "Go on as it is": the answers to messages that change nothing. Shared, not to be written to. */
export const CONTINUE = {
  headers: emptyAnswer(REQUEST_HEADERS),
  trailers: emptyAnswer(RESPONSE_TRAILERS),
} as const;

/** Sends the request on its way; the route is chosen again by the headers set here. */
export function encodeRouting({ setHeaders, body, metadata }: Routing): Uint8Array {
  writer.clear();
  writeMetadata(metadata);
  const start = writer.length;
  writer.number(CLEAR_ROUTE_CACHE, 1);
  if (body !== undefined) writeBodyMutation(body);
  const mutation = writer.length;
  if (body !== undefined) writeSetHeader('content-length', String(body.length));
  writeSetHeaders(setHeaders);
  writer.message(HEADER_MUTATION, mutation);
  writer.message(1, start);
  writer.message(REQUEST_BODY, start);
  return writer.finish();
}

/** Answers the client. Envoy then ends the exchange's stream. */
export function encodeImmediate({ status, headers, body, details, metadata = {} }: Immediate): Uint8Array {
  writer.clear();
  writeMetadata(metadata);
  const start = writer.length;
  writer.text(5, details);
  writer.text(3, body);
  const mutation = writer.length;
  writeSetHeaders(headers);
  writer.message(2, mutation);
  const code = writer.length;
  writer.number(1, status);
  writer.message(1, code);
  writer.message(IMMEDIATE_RESPONSE, start);
  return writer.finish();
}

function emptyAnswer(field: number): Uint8Array {
  writer.message(field, writer.length);
  return writer.finish();
}

function writeBodyMutation(body: Uint8Array): void {
  const start = writer.length;
  writer.bytes(1, body);
  writer.message(BODY_MUTATION, start);
}

function writeSetHeaders(headers: Headers): void {
  for (const name in headers) writeSetHeader(name, headers[name] ?? '');
}

/** Values go into `raw_value`: Envoy ignores `value` here by default. */
function writeSetHeader(name: string, value: string): void {
  const option = writer.length;
  writer.number(3, OVERWRITE_IF_EXISTS_OR_ADD);
  const header = writer.length;
  writer.text(3, value);
  writer.text(1, name);
  writer.message(1, header);
  writer.message(1, option);
}

/** A google.protobuf.Struct of Structs of strings. */
function writeMetadata(metadata: DynamicMetadata): void {
  const start = writer.length;
  for (const namespace in metadata) {
    const entry = writer.length;
    writeStructValue(metadata[namespace] ?? {});
    writer.text(1, namespace);
    writer.message(1, entry);
  }
  if (writer.length > start) writer.message(DYNAMIC_METADATA, start);
}

/** A map entry's value: Value{struct_value = 5}. */
function writeStructValue(values: Readonly<Record<string, string>>): void {
  const value = writer.length;
  for (const key in values) {
    const entry = writer.length;
    const inner = writer.length;
    writer.text(3, values[key] ?? '');
    writer.message(2, inner);
    writer.text(1, key);
    writer.message(1, entry);
  }
  writer.message(5, value);
  writer.message(2, value);
}
