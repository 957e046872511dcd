import { create, createFileRegistry, type FileRegistry, fromBinary } from '@bufbuild/protobuf';
import { type FileDescriptorProto, FileDescriptorProtoSchema, FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';

/** Wire types of FileDescriptorProto's fields, by number (google/protobuf/descriptor.proto). */
const WIRE_TYPES = new Map([
  ...[1, 2, 3, 4, 5, 6, 7, 8, 9, 12].map(number => [number, 2] as const),
  ...[10, 11, 14].map(number => [number, 0] as const),
]);
const LENGTH_DELIMITED = 2;
const SUFFIX = Buffer.from('.proto');
const FILE_NAME = /^[\w./-]+$/;
/** Longer ones would have a length of two bytes. */
const LONGEST_NAME = 127;

/**
 * The descriptors of the API that a program was built with, by file name: generated C++ registers each as a serialized
 * FileDescriptorProto, which lies in the binary as it is. Each begins with its own name (field 1), and the fields that
 * follow are walked until something is none.
 */
export function embeddedDescriptors(binary: Buffer): Map<string, FileDescriptorProto> {
  const files = new Map<string, FileDescriptorProto>();
  for (let at = binary.indexOf(SUFFIX); at >= 0; at = binary.indexOf(SUFFIX, at + 1)) {
    const start = nameField(binary, at + SUFFIX.length);
    if (start === undefined) continue;
    const file = fromBinary(FileDescriptorProtoSchema, binary.subarray(start, endOfFields(binary, start)));
    files.set(file.name, file);
  }
  return files;
}

/** The descriptors with their references resolved: each file after those that it imports. */
export function registryOf(files: ReadonlyMap<string, FileDescriptorProto>): FileRegistry {
  const ordered = new Set<FileDescriptorProto>();
  const add = (name: string): void => {
    const file = files.get(name);
    if (!file) throw new Error(`no descriptor of ${name}`);
    if (ordered.has(file)) return;
    for (const imported of file.dependency) add(imported);
    ordered.add(file);
  };
  for (const name of files.keys()) add(name);
  return createFileRegistry(create(FileDescriptorSetSchema, { file: [...ordered] }));
}

/** Where a field 1 starts that ends at `end` and holds a file name: tag, length, name. */
function nameField(binary: Buffer, end: number): number | undefined {
  for (let length = SUFFIX.length + 1; length <= LONGEST_NAME; length++) {
    const start = end - length - 2;
    if (start < 0 || binary[start] !== 0x0a || binary[start + 1] !== length) continue;
    if (FILE_NAME.test(binary.toString('latin1', start + 2, end))) return start;
  }
  return undefined;
}

function endOfFields(binary: Buffer, start: number): number {
  let end = start;
  let seenName = false;
  for (;;) {
    const tag = varint(binary, end);
    const field = tag.value >>> 3;
    const wireType = tag.value & 7;
    // A second name is the next descriptor's.
    if (WIRE_TYPES.get(field) !== wireType || (field === 1 && seenName)) return end;
    seenName = true;
    const value = varint(binary, tag.end);
    end = wireType === LENGTH_DELIMITED ? value.end + value.value : value.end;
  }
}

function varint(binary: Buffer, start: number): { value: number; end: number } {
  let value = 0;
  for (let end = start, shift = 0; shift < 35; end++, shift += 7) {
    const byte = binary[end] ?? 0;
    value += (byte & 0x7f) * 2 ** shift;
    if (byte < 0x80) return { value, end: end + 1 };
  }
  return { value: -1, end: start };
}
