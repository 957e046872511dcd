import { type Refusal, refuse } from '../../errors/refusal.ts';
import type { ContentKind } from './endpoints.ts';
import { type HeaderValue, parseHeaderValue } from './header-value.ts';

/** What a request's content headers ask of the hop to the engine. */
interface Content {
  /** The content-type to send upstream, where the client's own would be refused there; undefined: leave it. */
  readonly upstreamType: string | undefined;
}

const AS_IS: Content = Object.freeze({ upstreamType: undefined });
/** vLLM answers 415 to anything else on its JSON endpoints (`validate_json_request`). */
const AS_JSON: Content = Object.freeze({ upstreamType: 'application/json' });

/** What clients say when nobody told them to say JSON: curl -d, and fetch() with a string. */
const DEFAULT_TYPES = ['application/x-www-form-urlencoded', 'text/plain'];

/** https://www.rfc-editor.org/rfc/rfc2046#section-5.1.1: 1 to 70 of these, the last not a space. */
const BOUNDARY = /^[\w'()+,./:=? -]{0,69}[\w'()+,./:=?-]$/;

/**
 * Checks the content headers of a request for an endpoint, before any of its body has come.
 *
 * @returns what to tell upstream, `unsupported_media_type` for what is certainly wrong, or `invalid_parameter` for a
 * multipart type without boundary
 */
export function checkContent(
  kind: ContentKind,
  contentType: string | undefined,
  contentEncoding: string | undefined,
): Content | Refusal {
  if (contentEncoding !== undefined && !/^(identity)?$/i.test(contentEncoding)) {
    return refuse('unsupported_media_type', {
      message: 'Compressed request bodies are not served. Send the body without content-encoding.',
    });
  }
  if (kind === 'json') return checkJsonType(contentType);
  const boundary = readBoundary(contentType);
  return typeof boundary === 'string' ? AS_IS : boundary;
}

function checkJsonType(contentType: string | undefined): Content | Refusal {
  if (contentType === 'application/json') return AS_IS;
  if (contentType === undefined || contentType === '') return AS_JSON;
  const type = parseHeaderValue(contentType);
  if (type === undefined || !isJsonType(type.value)) {
    return refuse('unsupported_media_type', {
      message: 'This endpoint takes a JSON object. Send it with content-type: application/json.',
    });
  }
  return checkCharset(type) ?? (type.value === 'application/json' ? AS_IS : AS_JSON);
}

function isJsonType(type: string): boolean {
  return type === 'application/json' || /^[^/]+\/[^/]+\+json$/.test(type) || DEFAULT_TYPES.includes(type);
}

function checkCharset(type: HeaderValue): Refusal | undefined {
  const charset = type.parameters.get('charset');
  if (charset === undefined || isUtf8Charset(charset)) return undefined;
  return refuse('unsupported_media_type', { message: 'This charset is not served. Send the body as UTF-8.' });
}

/** Whether text said to be in this charset can be read as UTF-8. */
export function isUtf8Charset(charset: string): boolean {
  return /^(utf-?8|us-ascii)$/i.test(charset);
}

/** The boundary of a multipart/form-data content-type, `unsupported_media_type` or `invalid_parameter`. */
export function readBoundary(contentType: string | undefined): string | Refusal {
  const type = contentType === undefined ? undefined : parseHeaderValue(contentType);
  if (type === undefined || type.value !== 'multipart/form-data') {
    return refuse('unsupported_media_type', {
      message: 'This endpoint takes a form with a file. Send it as multipart/form-data with a boundary.',
    });
  }
  const wrongCharset = checkCharset(type);
  if (wrongCharset !== undefined) return wrongCharset;
  const boundary = type.parameters.get('boundary');
  // Python reads `boundary*=` (RFC 2231) as a boundary too.
  const isPlain = !type.parameters.has('boundary*') && !type.parameters.has('boundary*0');
  if (boundary !== undefined && isPlain && BOUNDARY.test(boundary)) return boundary;
  return refuse('invalid_parameter', {
    message: 'The content-type has no usable boundary. Let your HTTP client write this header: it knows the boundary.',
  });
}
