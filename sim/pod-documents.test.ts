import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { parsePodDocuments, readPodDocuments } from './pod-documents.ts';

/** A Pod document; `annotations` as YAML flow content. */
function pod(name: string, annotations: string, rest = 'status: {podIP: 127.0.9.9}'): string {
  return [
    'apiVersion: v1',
    'kind: Pod',
    `metadata: {name: ${name}, annotations: {${annotations}}}`,
    'spec: {containers: [{name: c, ports: [{containerPort: 8000}]}]}',
    rest,
    '',
  ].join('\n');
}

describe('Pod documents', () => {
  test('address and port are the pod’s, the rest comes from annotations', () => {
    const annotations = [
      'sim.fairlead.dev/model: "acme/a, b"',
      'sim.fairlead.dev/gpu: l40s',
      'sim.fairlead.dev/time-scale: "2.5"',
      'sim.fairlead.dev/kv-tokens: "5000"',
      'other.dev/note: x',
    ];
    const [spec] = parsePodDocuments(pod('one', annotations.join(', ')), 'f.yaml');
    const said = Object.fromEntries(Object.entries(spec ?? {}).filter(([, value]) => value !== undefined));
    assert.deepEqual(said, {
      name: 'one',
      address: '127.0.9.9',
      port: 8000,
      models: ['acme/a', 'b'],
      gpu: 'l40s',
      timeScale: 2.5,
      kvTokens: 5000,
    });
  });

  test('other documents and other pods are passed over', () => {
    const others = ['kind: ModelDeployment\nmetadata: {name: x}\n', pod('real', 'a.dev/b: c', ''), '', 'just text\n'];
    const text = [...others, pod('one', 'sim.fairlead.dev/model: m')].join('---\n');
    assert.deepEqual(
      parsePodDocuments(text, 'f.yaml').map(({ name }) => name),
      ['one'],
    );
  });

  const wrong: [what: string, text: string, message: RegExp][] = [
    ['no address', pod('a', 'sim.fairlead.dev/model: m', ''), /^f\.yaml:1: status:/],
    ['no model', pod('a', 'sim.fairlead.dev/gpu: l4'), /^f\.yaml:1: metadata\.annotations: sim\.fairlead\.dev\/model/],
    ['unknown GPU', pod('a', 'sim.fairlead.dev/model: m, sim.fairlead.dev/gpu: h9'), /sim\.fairlead\.dev\/gpu.*h100/],
    ['not a number', pod('a', 'sim.fairlead.dev/model: m, sim.fairlead.dev/seed: "x"'), /seed: must be a number/],
    ['no time at all', pod('a', 'sim.fairlead.dev/model: m, sim.fairlead.dev/time-scale: "0"'), /time-scale/],
    ['unknown annotation', pod('a', 'sim.fairlead.dev/model: m, sim.fairlead.dev/sped: "1"'), /sped/],
    ['broken YAML', 'kind: Pod\n a: [', /^f\.yaml: .*line 1/],
  ];
  for (const [what, text, message] of wrong) {
    test(`${what}: said with its place`, () => {
      assert.throws(() => parsePodDocuments(text, 'f.yaml'), { message });
    });
  }

  test('the line is that of the document, not of the file', () => {
    const text = `# a comment\n---\n${pod('a', 'sim.fairlead.dev/model: m')}---\n${pod('b', 'sim.fairlead.dev/model: m', '')}`;
    assert.throws(() => parsePodDocuments(text, 'f.yaml'), { message: /^f\.yaml:9: status/ });
  });

  test('a file, or every YAML file of a directory', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'pods-'));
    try {
      await writeFile(join(directory, 'b.yml'), pod('two', 'sim.fairlead.dev/model: m'));
      await writeFile(join(directory, 'a.yaml'), pod('one', 'sim.fairlead.dev/model: m'));
      await writeFile(join(directory, 'README.md'), 'not YAML: [');
      await mkdir(join(directory, 'more'));
      await writeFile(join(directory, 'more', 'd.yaml'), pod('four', 'sim.fairlead.dev/model: m'));
      await mkdir(join(directory, '.logs'));
      for (const hidden of ['.logs/e.yaml', '.f.yaml']) await writeFile(join(directory, hidden), 'not YAML: [');
      const names = async (path: string) => (await readPodDocuments(path)).map(({ name }) => name);
      assert.deepEqual(await names(directory), ['one', 'two', 'four']);
      assert.deepEqual(await names(join(directory, 'b.yml')), ['two']);
      await assert.rejects(names(join(directory, 'c.yaml')), /ENOENT/);
    } finally {
      await rm(directory, { recursive: true });
    }
  });

  test('the example’s pods can be simulated', async () => {
    const specs = await readPodDocuments(join(import.meta.dirname, '../examples/local/pods.yaml'));
    assert.equal(specs.length, 5);
    assert.equal(new Set(specs.map(({ address }) => address)).size, 5);
  });
});
