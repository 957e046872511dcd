import type { DescMessage, MessageJsonType } from '@bufbuild/protobuf';
import type { AnyJson, DurationJson } from '@bufbuild/protobuf/wkt';

/** A message as Envoy's extension points take it: its JSON with the "@type" that says what it is. */
export function typedConfig<Desc extends DescMessage>(schema: Desc, json: MessageJsonType<Desc>): AnyJson {
  return { '@type': `type.googleapis.com/${schema.typeName}`, ...(json as object) };
}

/** Milliseconds in the form of proto-JSON: 1500 becomes "1.500s". */
export function duration(milliseconds: number): DurationJson {
  return `${(milliseconds / 1000).toFixed(3)}s`;
}
