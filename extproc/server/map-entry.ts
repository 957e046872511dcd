import { eachField, spanTag, type WireReader } from './wire-reader.ts';

const KEY = spanTag(1);
const VALUE = spanTag(2);

/** Reads an entry of a protobuf map from text to messages: https://protobuf.dev/programming-guides/encoding/#maps */
export function readMapEntry(entry: WireReader): { key: string; value: WireReader | undefined } {
  return eachField(entry, { key: '', value: undefined as WireReader | undefined }, (tag, message, read) => {
    if (tag === KEY) read.key = message.text();
    else if (tag === VALUE) read.value = message.inner();
    else return false;
    return true;
  });
}
