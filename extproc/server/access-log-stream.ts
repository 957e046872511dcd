import type { AccessLogHandler } from './transport.ts';
import { spanTag, WireReader } from './wire-reader.ts';

// StreamAccessLogsMessage
const IDENTIFIER = spanTag(1);
const HTTP_LOGS = spanTag(2);
// Identifier
const LOG_NAME = spanTag(2);
// HTTPAccessLogEntries
const LOG_ENTRY = spanTag(1);

/** One stream of access log batches. Only its first message names the log. */
export class AccessLogStream {
  readonly #handler: AccessLogHandler;
  #logName = '';

  constructor(handler: AccessLogHandler) {
    this.#handler = handler;
  }

  /** Takes one StreamAccessLogsMessage; false when it is none, and the stream had better be ended. */
  message(frame: Uint8Array): boolean {
    const message = new WireReader(frame);
    const inner = new WireReader(frame);
    const entries: Uint8Array[] = [];
    for (let tag = message.tag(); tag !== 0; tag = message.tag()) {
      message.skip(tag);
      if (tag === IDENTIFIER) this.#logName = readLogName(inner.enter(message));
      else if (tag === HTTP_LOGS) readEntries(inner.enter(message), entries);
    }
    if (message.broken || inner.broken) return false;
    if (entries.length > 0) this.#handler.entries(this.#logName, entries);
    return true;
  }
}

function readLogName(identifier: WireReader): string {
  let name = '';
  for (let tag = identifier.tag(); tag !== 0; tag = identifier.tag()) {
    if (tag === LOG_NAME) name = identifier.text();
    else identifier.skip(tag);
  }
  return name;
}

function readEntries(logs: WireReader, entries: Uint8Array[]): void {
  for (let tag = logs.tag(); tag !== 0; tag = logs.tag()) {
    logs.skip(tag);
    if (tag === LOG_ENTRY) entries.push(logs.bytes.subarray(logs.spanStart, logs.spanEnd));
  }
}
