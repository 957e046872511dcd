import { EXCHANGE_NAMESPACE, TOKEN_USAGE_NAMESPACE } from '../../proto/exchange-names.ts';
import { readMapEntry } from '../server/map-entry.ts';
import { eachField, spanTag, type WireReader } from '../server/wire-reader.ts';
import { readTokenUsage, type TokenUsage } from './token-usage.ts';

/** What a log entry's dynamic metadata holds of ours. */
export interface LogMetadata {
  /** What the exchange said of itself. */
  readonly facts: ReadonlyMap<string, string>;
  readonly usage: TokenUsage | undefined;
}

interface Draft {
  facts: ReadonlyMap<string, string>;
  usage: TokenUsage | undefined;
}

// envoy.config.core.v3.Metadata: two maps
const FILTER_METADATA = spanTag(1);
const TYPED_FILTER_METADATA = spanTag(2);
// google.protobuf.Struct and Value, Any
const STRUCT_FIELDS = spanTag(1);
const STRING_VALUE = spanTag(3);
const ANY_VALUE = spanTag(2);

export const NO_METADATA: LogMetadata = { facts: new Map(), usage: undefined };

/** Reads an envoy.config.core.v3.Metadata. */
export function readMetadata(message: WireReader): LogMetadata {
  return eachField<Draft>(message, { ...NO_METADATA }, (tag, message, draft) => {
    if (tag !== FILTER_METADATA && tag !== TYPED_FILTER_METADATA) return false;
    const { key, value } = readMapEntry(message.inner());
    if (value === undefined) return true;
    if (tag === FILTER_METADATA && key === EXCHANGE_NAMESPACE) draft.facts = readStrings(value);
    if (tag === TYPED_FILTER_METADATA && key === TOKEN_USAGE_NAMESPACE) draft.usage = readAny(value);
    return true;
  });
}

/** The strings of a google.protobuf.Struct. */
function readStrings(struct: WireReader): ReadonlyMap<string, string> {
  return eachField(struct, new Map<string, string>(), (tag, struct, strings) => {
    if (tag !== STRUCT_FIELDS) return false;
    const { key, value } = readMapEntry(struct.inner());
    if (value !== undefined) eachField(value, strings, readString(key));
    return true;
  });
}

const readString =
  (key: string) =>
  (tag: number, value: WireReader, strings: Map<string, string>): boolean => {
    if (tag !== STRING_VALUE) return false;
    strings.set(key, value.text());
    return true;
  };

function readAny(any: WireReader): TokenUsage | undefined {
  return eachField(any, { usage: undefined as TokenUsage | undefined }, (tag, any, found) => {
    if (tag !== ANY_VALUE) return false;
    found.usage = readTokenUsage(any.inner());
    return true;
  }).usage;
}
