import { readMapEntry } from './map-entry.ts';
import { doubleTag, eachField, spanTag, varintTag, type WireReader } from './wire-reader.ts';

// envoy.config.core.v3.Metadata: namespaces
const FILTER_METADATA = spanTag(1);
// google.protobuf.Struct and ListValue
const FIELDS = spanTag(1);
const VALUES = spanTag(1);
// google.protobuf.Value
const NULL = varintTag(1);
const NUMBER = doubleTag(2);
const STRING = spanTag(3);
const BOOL = varintTag(4);
const STRUCT = spanTag(5);
const LIST = spanTag(6);

/** How deep objects and lists may lie in each other; claims that anybody uses are three or four deep. */
const MAX_DEPTH = 32;

/** An object as JSON has it, but without a prototype: what it does not have itself, it does not have. */
export type JsonObject = Readonly<Record<string, unknown>>;

/**
 * The google.protobuf.Struct of one namespace of an envoy.config.core.v3.Metadata; undefined where there is none, and
 * where the bytes are not what they should be or deeper than anybody's.
 */
export function readNamespace(metadata: WireReader, namespace: string): JsonObject | undefined {
  const found = eachField(metadata, { struct: undefined as JsonObject | undefined }, (tag, message, found) => {
    if (tag !== FILTER_METADATA) return false;
    const { key, value } = readMapEntry(message.inner());
    if (key === namespace && value !== undefined) found.struct = readStruct(value, 0);
    return true;
  });
  return metadata.broken ? undefined : found.struct;
}

function readStruct(struct: WireReader, depth: number): JsonObject {
  const fields: Record<string, unknown> = Object.create(null);
  return eachField(struct, fields, (tag, message, fields) => {
    if (tag !== FIELDS) return false;
    const { key, value } = readMapEntry(message.inner());
    if (value !== undefined) fields[key] = readValue(value, depth);
    return true;
  });
}

function readList(list: WireReader, depth: number): unknown[] {
  return eachField(list, [] as unknown[], (tag, message, values) => {
    if (tag !== VALUES) return false;
    values.push(readValue(message.inner(), depth));
    return true;
  });
}

function readValue(value: WireReader, depth: number): unknown {
  return eachField(value, { value: null as unknown }, (tag, message, read) => {
    if (tag === STRING) read.value = message.text();
    else if (tag === NUMBER) read.value = message.double();
    else if (tag === BOOL) read.value = message.varint() !== 0;
    else if (tag === NULL) message.varint();
    else if (tag !== STRUCT && tag !== LIST) return false;
    else if (depth === MAX_DEPTH) message.reject();
    else if (tag === STRUCT) read.value = readStruct(message.inner(), depth + 1);
    else read.value = readList(message.inner(), depth + 1);
    return true;
  }).value;
}
