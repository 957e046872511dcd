import assert from 'node:assert/strict';
import { glob, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { clone, type DescFile } from '@bufbuild/protobuf';
import { type FileDescriptorProto, FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';
import { envoyBinary } from '../../cli/setup/envoy-binary.ts';
import { disagreements } from './disagreements.ts';
import { embeddedDescriptors, registryOf } from './embedded-descriptors.ts';

const GENERATED = join(import.meta.dirname, '../../proto/gen');

let originals: Map<string, FileDescriptorProto>;

before(async () => {
  originals = embeddedDescriptors(await readFile(await envoyBinary(line => console.log(line))));
});

async function generatedFiles(): Promise<DescFile[]> {
  const files: DescFile[] = [];
  for await (const path of glob('envoy/**/*_pb.js', { cwd: GENERATED })) {
    const exported: Record<string, unknown> = await import(join(GENERATED, path));
    const file = Object.entries(exported).find(([name]) => name.startsWith('file_'));
    files.push(file?.[1] as DescFile);
  }
  return files;
}

test('the binary shows its whole API', () => {
  const ofEnvoy = [...originals.keys()].filter(name => name.startsWith('envoy/'));
  assert.ok(ofEnvoy.length > 400, `found only ${ofEnvoy.length} files`);
});

test('every trimmed proto agrees with the Envoy that is shipped', async () => {
  const files = await generatedFiles();
  assert.ok(files.length > 40);
  const envoy = registryOf(originals);
  assert.deepEqual(
    files.flatMap(file => disagreements(file, envoy)),
    [],
  );
});

test('a wrong number, type, label, name, enum value or method is found', () => {
  const cases: readonly [file: string, spoil: (file: FileDescriptorProto) => void, found: RegExp][] = [
    [
      'envoy/config/core/v3/address.proto',
      file => set(fieldOf(file, 'Pipe', 'path'), { number: 7 }),
      /Pipe\.path: number 1/,
    ],
    ['envoy/config/core/v3/address.proto', file => set(fieldOf(file, 'Pipe', 'path'), { type: 12 }), /Pipe\.path/],
    ['envoy/config/core/v3/address.proto', file => set(fieldOf(file, 'Pipe', 'path'), { label: 3 }), /Pipe\.path/],
    [
      'envoy/config/core/v3/address.proto',
      file => set(fieldOf(file, 'Pipe', 'path'), { name: 'way' }),
      /no such field/,
    ],
    [
      'envoy/config/core/v3/address.proto',
      file => set(messageOf(file, 'CidrRange'), { name: 'Range' }),
      /no such message/,
    ],
    [
      'envoy/config/core/v3/base.proto',
      file => set(file.enumType.find(({ name }) => name === 'RequestMethod')?.value[1], { number: 99 }),
      /GET: 1, but originally 99/,
    ],
    [
      'envoy/service/ext_proc/v3/external_processor.proto',
      file => set(file.service[0]?.method[0], { clientStreaming: false }),
      /Process: bidi_streaming/,
    ],
  ];
  const envoy = registryOf(originals);
  for (const [name, spoil, found] of cases) {
    const file = envoy.getFile(name);
    const original = originals.get(name);
    assert.ok(file && original);
    const spoiled = clone(FileDescriptorProtoSchema, original);
    spoil(spoiled);
    // Nothing else is linked to it here, since what refers to a renamed message could not be.
    const alone = registryOf(withImports(spoiled));
    assert.match(disagreements(file, alone).join('\n'), found);
  }
});

function withImports(file: FileDescriptorProto): Map<string, FileDescriptorProto> {
  const files = new Map([[file.name, file]]);
  for (const { dependency } of files.values()) {
    for (const name of dependency) {
      const imported = originals.get(name);
      if (imported && !files.has(name)) files.set(name, imported);
    }
  }
  return files;
}

function messageOf(file: FileDescriptorProto, message: string) {
  return file.messageType.find(({ name }) => name === message);
}

function fieldOf(file: FileDescriptorProto, message: string, field: string) {
  return messageOf(file, message)?.field.find(({ name }) => name === field);
}

function set<T extends object>(target: T | undefined, values: Partial<T>): void {
  assert.ok(target);
  Object.assign(target, values);
}
