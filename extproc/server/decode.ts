import { JWT_NAMESPACE } from '../../proto/exchange-names.ts';
import { type JsonObject, readNamespace } from './metadata-struct.ts';
import { RequestHeaders } from './request-headers.ts';
import { spanTag, varintTag, WireReader } from './wire-reader.ts';

/** A message of Envoy's about one HTTP exchange, envoy.service.ext_proc.v3.ProcessingRequest. */
export type ProcessingRequest =
  | RequestHeadersMessage
  /** `body` is a view of the frame, not a copy. */
  | { readonly kind: 'request_body'; readonly body: Uint8Array; readonly endOfStream: boolean }
  | { readonly kind: 'response_trailers' }
  /** Not protobuf, or a message that was never asked for. There is no right answer but to end the stream. */
  | { readonly kind: 'other' };

/** The head of a request, with what Envoy found out about it. Holds the frame that it was made from. */
export class RequestHeadersMessage {
  readonly kind = 'request_headers';
  readonly headers: RequestHeaders;
  /** No body follows. */
  readonly endOfStream: boolean;
  /** Until it is read. */
  #metadata: WireReader | undefined;
  #jwt: JsonObject | undefined;

  constructor(headers: RequestHeaders, endOfStream: boolean, metadata: WireReader | undefined) {
    this.headers = headers;
    this.endOfStream = endOfStream;
    this.#metadata = metadata;
  }

  /**
   * The claims of the token that Envoy accepted, by the issuer's name in the table; undefined where it accepted none.
   * Read when it is asked for.
   */
  get jwt(): JsonObject | undefined {
    const metadata = this.#metadata;
    if (metadata !== undefined) {
      this.#metadata = undefined;
      this.#jwt = readNamespace(metadata, JWT_NAMESPACE);
    }
    return this.#jwt;
  }
}

const OTHER: ProcessingRequest = { kind: 'other' };
const RESPONSE_TRAILERS: ProcessingRequest = { kind: 'response_trailers' };
const NO_BYTES = new Uint8Array(0);

// ProcessingRequest.request
const REQUEST_HEADERS = spanTag(2);
const RESPONSE_TRAILERS_TAG = spanTag(7);
const REQUEST_BODY = spanTag(4);
const METADATA_CONTEXT = spanTag(8);
const UNWANTED = [spanTag(3), spanTag(5), spanTag(6)];
// HttpHeaders
const HEADERS = spanTag(1);
const HEADERS_END_OF_STREAM = varintTag(3);
// HttpBody
const BODY = spanTag(1);
const BODY_END_OF_STREAM = varintTag(2);

/** Reads what it needs of a frame and leaves the rest. Never throws; what it cannot read is `other`. */
export function decodeProcessingRequest(frame: Uint8Array): ProcessingRequest {
  const message = new WireReader(frame);
  let request = 0;
  let start = 0;
  let end = 0;
  let metadata: WireReader | undefined;
  for (let tag = message.tag(); tag !== 0; tag = message.tag()) {
    message.skip(tag);
    if (tag === METADATA_CONTEXT) metadata = new WireReader(frame, message.spanStart, message.spanEnd);
    if (tag === REQUEST_HEADERS || tag === REQUEST_BODY || tag === RESPONSE_TRAILERS_TAG || UNWANTED.includes(tag)) {
      request = tag;
      start = message.spanStart;
      end = message.spanEnd;
    }
  }
  if (message.broken) return OTHER;
  if (request === REQUEST_HEADERS) return decodeHeaders(new WireReader(frame, start, end), metadata);
  if (request === REQUEST_BODY) return decodeBody(new WireReader(frame, start, end));
  return request === RESPONSE_TRAILERS_TAG ? RESPONSE_TRAILERS : OTHER;
}

function decodeHeaders(message: WireReader, metadata: WireReader | undefined): ProcessingRequest {
  let start = 0;
  let end = 0;
  let endOfStream = false;
  for (let tag = message.tag(); tag !== 0; tag = message.tag()) {
    if (tag === HEADERS) {
      message.span();
      start = message.spanStart;
      end = message.spanEnd;
    } else if (tag === HEADERS_END_OF_STREAM) {
      endOfStream = message.varint() !== 0;
    } else {
      message.skip(tag);
    }
  }
  if (message.broken) return OTHER;
  const headers = new RequestHeaders(new WireReader(message.bytes, start, end));
  return new RequestHeadersMessage(headers, endOfStream, metadata);
}

function decodeBody(message: WireReader): ProcessingRequest {
  let body = NO_BYTES;
  let endOfStream = false;
  for (let tag = message.tag(); tag !== 0; tag = message.tag()) {
    if (tag === BODY) {
      message.span();
      body = message.bytes.subarray(message.spanStart, message.spanEnd) as typeof NO_BYTES;
    } else if (tag === BODY_END_OF_STREAM) {
      endOfStream = message.varint() !== 0;
    } else {
      message.skip(tag);
    }
  }
  return message.broken ? OTHER : { kind: 'request_body', body, endOfStream };
}
