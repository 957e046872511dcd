import { readFileSync } from 'node:fs';
import { createRegistry, fromJson, toBinary } from '@bufbuild/protobuf';
import {
  type HTTPAccessLogEntryJson,
  HTTPAccessLogEntrySchema,
} from '../../proto/gen/envoy/data/accesslog/v3/accesslog_pb.js';
import { TokenUsageSchema } from '../../proto/gen/envoy/data/ai/v3/token_usage_pb.js';
import { type AccessRecord, readAccessRecord } from './access-record.ts';

interface Exchange {
  readonly attempts: readonly HTTPAccessLogEntryJson[];
  readonly end: HTTPAccessLogEntryJson;
}

/** For tests: what Envoy 1.40.0 logged of exchanges that went as their names say, without the fields nobody reads. */
const EXCHANGES: Readonly<Record<string, Exchange>> = JSON.parse(
  readFileSync(new URL('envoy-records.json', import.meta.url), 'utf8'),
);

const registry = createRegistry(TokenUsageSchema);

export const recordedExchanges: readonly string[] = Object.keys(EXCHANGES);

/** An entry as Envoy sends it. */
export function entryBytes(entry: HTTPAccessLogEntryJson): Uint8Array {
  return toBinary(HTTPAccessLogEntrySchema, fromJson(HTTPAccessLogEntrySchema, entry, { registry }));
}

/** The records of one exchange: of its failed attempts, and of the whole. */
export function recorded(name: string): { readonly attempts: readonly AccessRecord[]; readonly end: AccessRecord } {
  const exchange = EXCHANGES[name];
  if (exchange === undefined) throw new Error(`no such exchange was recorded: ${name}`);
  return { attempts: exchange.attempts.map(read), end: read(exchange.end) };
}

function read(entry: HTTPAccessLogEntryJson): AccessRecord {
  const record = readAccessRecord(entryBytes(entry));
  if (record === undefined) throw new Error(`cannot be read: ${JSON.stringify(entry)}`);
  return record;
}
