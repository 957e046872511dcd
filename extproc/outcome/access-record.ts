import { type ExchangeFact, ID_HEADER } from '../../proto/exchange-names.ts';
import { eachField, spanTag, varintTag, WireReader } from '../server/wire-reader.ts';
import { type LogMetadata, NO_METADATA, readMetadata } from './log-metadata.ts';
import { readFlags } from './response-flags.ts';
import { readWrapped, type TokenUsage } from './token-usage.ts';

/** What Envoy says of one exchange (log "end") or of one failed attempt (log "attempt"). */
export interface AccessRecord {
  /** The exchange's id; empty when it was never routed: refused, or failed before ext_proc answered. */
  readonly id: string;
  /** Public id of the model, and name of the backend; empty likewise, and in every record of an attempt. */
  readonly model: string;
  readonly backend: string;
  readonly method: string;
  /** As sent upstream, with query. */
  readonly path: string;
  /** HTTP status; 0 where no answer was begun. */
  readonly status: number;
  /** Envoy's response code details: "via_upstream", "fairlead_model_not_found", … */
  readonly details: string;
  /** Envoy's response flags, short names: UF, URX, UT, DC, … */
  readonly flags: ReadonlySet<string>;
  /** "ip:port" or "[ip]:port" of the endpoint tried last; empty when none was. */
  readonly upstream: string;
  /** Attempts so far. */
  readonly attempts: number;
  readonly requestBytes: number;
  readonly responseBytes: number;
  /** From the first byte of the request to the last of the answer. */
  readonly durationMs: number;
  /** When the endpoint's answer began and ended, since the start; undefined where it did not. */
  readonly firstByteMs: number | undefined;
  readonly lastByteMs: number | undefined;
  readonly usage: TokenUsage | undefined;
}

/** Everything of a record that one walk over the entry collects. */
interface Draft {
  metadata: LogMetadata;
  idHeader: string;
  method: string;
  path: string;
  status: number;
  details: string;
  flags: ReadonlySet<string>;
  upstream: string;
  attempts: number;
  requestBytes: number;
  responseBytes: number;
  durationMs: number;
  firstByteMs: number | undefined;
  lastByteMs: number | undefined;
}

// HTTPAccessLogEntry
const COMMON_PROPERTIES = spanTag(1);
const REQUEST = spanTag(3);
const RESPONSE = spanTag(4);
// AccessLogCommon
const FIRST_UPSTREAM_RX = spanTag(9);
const LAST_UPSTREAM_RX = spanTag(10);
const UPSTREAM_REMOTE_ADDRESS = spanTag(13);
const RESPONSE_FLAGS = spanTag(16);
const METADATA = spanTag(17);
const DURATION = spanTag(23);
const ATTEMPT_COUNT = varintTag(24);
// HTTPRequestProperties
const REQUEST_METHOD = varintTag(1);
const PATH = spanTag(5);
const REQUEST_BODY_BYTES = varintTag(12);
const REQUEST_HEADERS = spanTag(13);
const HEADER_NAME = spanTag(1);
const HEADER_VALUE = spanTag(2);
// HTTPResponseProperties
const RESPONSE_CODE = spanTag(1);
const RESPONSE_BODY_BYTES = varintTag(3);
const RESPONSE_CODE_DETAILS = spanTag(6);
// Address and SocketAddress
const SOCKET_ADDRESS = spanTag(1);
const IP_ADDRESS = spanTag(2);
const PORT = varintTag(3);
// google.protobuf.Duration
const SECONDS = varintTag(1);
const NANOS = varintTag(2);

/** envoy.config.core.v3.RequestMethod */
const METHODS = ['', 'GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'CONNECT', 'OPTIONS', 'TRACE', 'PATCH'];
const NO_FLAGS: ReadonlySet<string> = new Set();

/** Reads an envoy.data.accesslog.v3.HTTPAccessLogEntry; undefined when the bytes are none. */
export function readAccessRecord(bytes: Uint8Array): AccessRecord | undefined {
  const entry = new WireReader(bytes);
  const { metadata, idHeader, ...draft } = eachField(entry, emptyDraft(), readEntry);
  if (entry.broken) return undefined;
  const fact = (name: ExchangeFact): string | undefined => metadata.facts.get(name);
  const { usage } = metadata;
  return { ...draft, id: fact('id') ?? idHeader, model: fact('model') ?? '', backend: fact('backend') ?? '', usage };
}

function emptyDraft(): Draft {
  return {
    metadata: NO_METADATA,
    idHeader: '',
    method: '',
    path: '',
    status: 0,
    details: '',
    flags: NO_FLAGS,
    upstream: '',
    attempts: 0,
    requestBytes: 0,
    responseBytes: 0,
    durationMs: 0,
    firstByteMs: undefined,
    lastByteMs: undefined,
  };
}

function readEntry(tag: number, entry: WireReader, draft: Draft): boolean {
  if (tag === COMMON_PROPERTIES) eachField(entry.inner(), draft, readCommon);
  else if (tag === REQUEST) eachField(entry.inner(), draft, readRequest);
  else if (tag === RESPONSE) eachField(entry.inner(), draft, readResponse);
  else return false;
  return true;
}

function readCommon(tag: number, common: WireReader, draft: Draft): boolean {
  if (tag === FIRST_UPSTREAM_RX) draft.firstByteMs = readMs(common.inner());
  else if (tag === LAST_UPSTREAM_RX) draft.lastByteMs = readMs(common.inner());
  else if (tag === UPSTREAM_REMOTE_ADDRESS) draft.upstream = readAddress(common.inner());
  else if (tag === RESPONSE_FLAGS) draft.flags = readFlags(common.inner());
  else if (tag === METADATA) draft.metadata = readMetadata(common.inner());
  else if (tag === DURATION) draft.durationMs = readMs(common.inner());
  else if (tag === ATTEMPT_COUNT) draft.attempts = common.varint();
  else return false;
  return true;
}

function readRequest(tag: number, request: WireReader, draft: Draft): boolean {
  if (tag === REQUEST_METHOD) draft.method = METHODS[request.varint()] ?? '';
  else if (tag === PATH) draft.path = request.text();
  else if (tag === REQUEST_BODY_BYTES) draft.requestBytes = request.varint();
  else if (tag === REQUEST_HEADERS) eachField(request.inner(), { name: '', draft }, readHeader);
  else return false;
  return true;
}

function readHeader(tag: number, header: WireReader, target: { name: string; draft: Draft }): boolean {
  if (tag === HEADER_NAME) target.name = header.text();
  else if (tag === HEADER_VALUE && target.name === ID_HEADER) target.draft.idHeader = header.text();
  else return false;
  return true;
}

function readResponse(tag: number, response: WireReader, draft: Draft): boolean {
  if (tag === RESPONSE_CODE) draft.status = readWrapped(response.inner());
  else if (tag === RESPONSE_BODY_BYTES) draft.responseBytes = response.varint();
  else if (tag === RESPONSE_CODE_DETAILS) draft.details = response.text();
  else return false;
  return true;
}

/** A google.protobuf.Duration, in milliseconds. */
function readMs(duration: WireReader): number {
  return eachField(duration, { ms: 0 }, readMsField).ms;
}

function readMsField(tag: number, duration: WireReader, target: { ms: number }): boolean {
  if (tag === SECONDS) target.ms += duration.varint() * 1_000;
  else if (tag === NANOS) target.ms += duration.varint() / 1_000_000;
  else return false;
  return true;
}

/** An envoy.config.core.v3.Address as endpoints are written; empty when it is no IP address. */
function readAddress(address: WireReader): string {
  const socket = { ip: '', port: 0 };
  eachField(address, socket, (tag, address) => {
    if (tag !== SOCKET_ADDRESS) return false;
    eachField(address.inner(), socket, readSocketAddress);
    return true;
  });
  if (socket.ip === '') return '';
  return socket.ip.includes(':') ? `[${socket.ip}]:${socket.port}` : `${socket.ip}:${socket.port}`;
}

function readSocketAddress(tag: number, address: WireReader, socket: { ip: string; port: number }): boolean {
  if (tag === IP_ADDRESS) socket.ip = address.text();
  else if (tag === PORT) socket.port = address.varint();
  else return false;
  return true;
}
