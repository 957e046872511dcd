import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { type DirectoryReading, watchDirectory } from './directory.ts';

/** Nothing here takes this long; it only ends a test that would hang, milliseconds. */
const timeout = 20_000;

const consumer = (name: string, spec: string) => `---
apiVersion: fairlead.dev/v1alpha1
kind: Consumer
metadata: {name: ${name}}
spec: ${spec}
`;
const secret = (name: string, text: string) =>
  `---\napiVersion: v1\nkind: Secret\nmetadata: {name: ${name}}\nstringData: {api-key: ${text}, other: unused}\n`;

/** A directory with one file, and what is declared in it after each time that it is written. */
async function written(t: TestContext, text: string) {
  const directory = await mkdtemp(join(tmpdir(), 'fairlead-consumers-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  const write = (name: string, content: string) => writeFile(join(directory, name), content);
  await write('a.yaml', text);
  const abort = new AbortController();
  const readings: DirectoryReading[] = [];
  let told = Promise.withResolvers<void>();
  const watch = await watchDirectory(directory, {
    signal: abort.signal,
    onState: reading => {
      readings.push(reading);
      told.resolve();
      told = Promise.withResolvers();
    },
    onFailure: assert.fail,
  });
  t.after(async () => {
    abort.abort();
    await watch.ended;
  });
  const latest = () => readings.at(-1) ?? assert.fail('no state was told');
  const until = async (holds: (reading: DirectoryReading) => boolean): Promise<DirectoryReading> => {
    while (!holds(latest())) await told.promise;
    return latest();
  };
  return { latest, until, write };
}

function messages({ problems }: DirectoryReading): string[] {
  return problems.map(({ file, line, message }) => `${file.split('/').at(-1)}:${line} ${message}`);
}

describe('Consumers in a directory', { timeout }, () => {
  test('are read with their defaults and the Secrets that hold their keys', async t => {
    const { latest } = await written(
      t,
      consumer('alice', '{apiKeys: [{secretRef: {name: keys}}], limits: [{requests: 5, per: minute}]}') +
        secret('keys', 'fl-one') +
        secret('others', 'unused'),
    );
    const { state } = latest();
    assert.deepEqual(messages(latest()), []);
    assert.deepEqual([...state.consumers.keys()], ['default/alice']);
    const limits = state.consumers.get('default/alice')?.spec.limits.map(({ unit, amount }) => `${amount} ${unit}`);
    assert.deepEqual(limits, ['5 requests']);
    assert.deepEqual(
      [...state.secrets],
      [['default/keys', { data: { 'api-key': new Uint8Array(Buffer.from('fl-one')) } }]],
    );
  });

  test('stay the objects they were while their keys rotate, and the keys while they change', async t => {
    const alice = consumer('alice', '{apiKeys: [{secretRef: {name: keys}}]}');
    const { latest, until, write } = await written(t, alice + secret('keys', 'fl-one'));
    const before = latest().state;
    await write('a.yaml', alice + secret('keys', 'fl-two'));
    const rotated = (await until(({ state }) => state.secrets !== before.secrets)).state;
    assert.equal(rotated.consumers, before.consumers);
    await write(
      'a.yaml',
      consumer('alice', '{apiKeys: [{secretRef: {name: keys}}], users: [al]}') + secret('keys', 'fl-two'),
    );
    const changed = (await until(({ state }) => state.consumers !== before.consumers)).state;
    assert.equal(changed.secrets, rotated.secrets);
    assert.equal(changed.consumers.get('default/alice')?.generation, 2);
  });

  test('that are refused stay as they last were, and are told at their line', async t => {
    const { latest, until, write } = await written(t, consumer('alice', '{users: [al]}'));
    const before = latest().state.consumers;
    await write('a.yaml', consumer('alice', '{users: [al], limits: [{requests: 5}]}'));
    const broken = await until(({ problems }) => problems.length > 0);
    assert.equal(broken.state.consumers, before);
    assert.deepEqual(messages(broken), [
      'a.yaml:0 until its errors are mended, this file is served as it was before them',
      'a.yaml:5 needs `per`: expected one of `second`, `minute`, `hour`, `day` or `month`',
    ]);
    await write('a.yaml', consumer('alice', '{users: [al], limits: [{requests: 5, per: day}]}'));
    const mended = await until(({ problems }) => problems.length === 0);
    assert.equal(mended.state.consumers.get('default/alice')?.spec.limits.length, 1);
  });

  test('that two files declare are served from the one that had them first', async t => {
    const { latest, until, write } = await written(t, consumer('alice', '{users: [al]}'));
    const before = latest().state.consumers;
    await write('0.yaml', consumer('alice', '{users: [other]}'));
    const clashing = await until(({ problems }) => problems.length > 0);
    assert.equal(clashing.state.consumers, before);
    assert.match(messages(clashing).join(), /^0\.yaml:2 Consumer default\/alice is already declared in .*a\.yaml:2/);
  });

  test('of other makers are none of ours', async t => {
    const { latest } = await written(
      t,
      'apiVersion: configuration.konghq.com/v1\nkind: KongConsumer\n---\napiVersion: kafka.example.com/v1\nkind: Consumer\n',
    );
    assert.equal(latest().state.consumers.size, 0);
    assert.deepEqual(
      latest().problems.map(({ severity }) => severity),
      ['ignored', 'ignored'],
    );
  });
});
