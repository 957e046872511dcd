import assert from 'node:assert/strict';
import { mkdir, mkdtemp, open, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { type DirectoryReading, readPaths, watchDirectory } from './directory.ts';
import type { ResolveHost } from './host-addresses.ts';

/** Nothing here takes this long; it only ends a test that would hang, milliseconds. */
const timeout = 20_000;

const model = (name: string, alias = name) => `---
apiVersion: fairlead.dev/v1alpha1
kind: ModelDeployment
metadata: {name: ${name}}
spec:
  model: org/${alias}
  backends: [{name: a, endpoints: ["10.0.0.1:80"]}]
`;
const gateway = (name: string) => `---
apiVersion: fairlead.dev/v1alpha1
kind: InferenceGateway
metadata: {name: ${name}}
`;
const pod = (name: string) => `---\napiVersion: v1\nkind: Pod\nmetadata: {name: ${name}}\nstatus: {podIP: 10.0.0.1}\n`;

async function temporary(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'fairlead-source-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

/** A watch whose readings can be waited for. */
async function watching(t: TestContext, directory: string, resolveHost?: ResolveHost) {
  const abort = new AbortController();
  const readings: DirectoryReading[] = [];
  let told = Promise.withResolvers<void>();
  const watch = await watchDirectory(directory, {
    signal: abort.signal,
    onState: reading => {
      readings.push(reading);
      told.resolve();
      told = Promise.withResolvers<void>();
    },
    onFailure: assert.fail,
    ...(resolveHost && { resolveHost }),
  });
  const end = async () => {
    abort.abort();
    await watch.ended;
  };
  t.after(end);
  const latest = () => readings.at(-1) ?? assert.fail('no state was told');
  const until = async (holds: (reading: DirectoryReading) => boolean): Promise<DirectoryReading> => {
    while (!holds(latest())) await told.promise;
    return latest();
  };
  return { readings, latest, until, end };
}

/** Every model by its id, to be compared at a glance. */
function models({ state }: DirectoryReading): string {
  return [...state.modelDeployments]
    .map(([key, { spec }]) => `${key.replace('default/', '')}=${spec.model?.replace('org/', '')}`)
    .sort()
    .join(' ');
}

function messages({ problems }: DirectoryReading): string[] {
  return problems.map(
    ({ severity, file, line, message }) => `${severity} ${file.split('/').at(-1)}:${line} ${message}`,
  );
}

describe('a directory that is watched', { timeout }, () => {
  test('is read at once, with all below it; files that are hidden or of other kinds are not', async t => {
    const directory = await temporary(t);
    await mkdir(join(directory, 'sub', '.git'), { recursive: true });
    await writeFile(join(directory, 'a.yaml'), model('a') + gateway('g'));
    await writeFile(join(directory, 'sub', 'b.yml'), model('b'));
    await writeFile(
      join(directory, 'sub', 'c.json'),
      JSON.stringify({ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'p' } }),
    );
    await writeFile(join(directory, '.#a.yaml'), model('x'));
    await writeFile(join(directory, 'sub', '.git', 'x.yaml'), model('y'));
    await writeFile(join(directory, 'notes.txt'), 'not: [yaml');
    await symlink(join(directory, 'sub', 'b.yml'), join(directory, 'link.txt'));
    const { latest } = await watching(t, directory);
    assert.deepEqual(messages(latest()), []);
    assert.equal(models(latest()), 'a=a b=b');
    assert.equal(latest().state.gateways.length, 1);
    assert.deepEqual([...latest().state.pods.keys()], ['default/p']);
  });

  test('follows files that are added, edited and removed', async t => {
    const directory = await temporary(t);
    await writeFile(join(directory, 'a.yaml'), model('a'));
    const { until } = await watching(t, directory);
    await writeFile(join(directory, 'b.yaml'), model('b'));
    await until(reading => models(reading) === 'a=a b=b');
    await writeFile(join(directory, 'b.yaml'), model('b', 'edited'));
    await until(reading => models(reading) === 'a=a b=edited');
    await rm(join(directory, 'a.yaml'));
    await until(reading => models(reading) === 'b=edited');
  });

  test('follows directories that come and go', async t => {
    const directory = await temporary(t);
    const { until } = await watching(t, directory);
    await mkdir(join(directory, 'deep', 'er'), { recursive: true });
    await writeFile(join(directory, 'deep', 'er', 'a.yaml'), model('a'));
    await until(reading => models(reading) === 'a=a');
    await rm(join(directory, 'deep'), { recursive: true });
    await until(reading => models(reading) === '');
  });

  test('is served as it was while it is gone as a whole, and followed again when it is back', async t => {
    const parent = await temporary(t);
    const directory = join(parent, 'models');
    await mkdir(directory);
    await writeFile(join(directory, 'a.yaml'), model('a'));
    const { until, latest } = await watching(t, directory);
    await rename(directory, join(parent, 'elsewhere'));
    const gone = await until(({ problems }) => problems.length > 0);
    assert.deepEqual(messages(gone), [
      'warning models:0 the directory is gone: what it declared last is served until it is back',
    ]);
    assert.equal(models(gone), 'a=a');
    await rename(join(parent, 'elsewhere'), directory);
    assert.equal(models(await until(({ problems }) => problems.length === 0)), 'a=a');
    await writeFile(join(directory, 'b.yaml'), model('b'));
    await until(reading => models(reading) === 'a=a b=b');
    await rm(directory, { recursive: true });
    await until(({ problems }) => problems.length > 0);
    assert.equal(models(latest()), 'a=a b=b');
    await mkdir(directory);
    await writeFile(join(directory, 'b.yaml'), model('b'));
    await until(reading => models(reading) === 'b=b');
  });

  test('is let go of while it is gone', async t => {
    const directory = join(await temporary(t), 'models');
    await mkdir(directory);
    await writeFile(join(directory, 'a.yaml'), model('a'));
    const { until, end } = await watching(t, directory);
    await rm(directory, { recursive: true });
    await until(({ problems }) => problems.length > 0);
    await end();
  });

  test('may be created later', async t => {
    const directory = join(await temporary(t), 'later');
    const { latest, until } = await watching(t, directory);
    assert.deepEqual(messages(latest()), ['warning later:0 no .yaml, .yml or .json file there']);
    await mkdir(directory);
    await writeFile(join(directory, 'a.yaml'), model('a'));
    assert.deepEqual(messages(await until(reading => models(reading) === 'a=a')), []);
  });

  test('a broken file is served as it was, told about, and taken again when mended', async t => {
    const directory = await temporary(t);
    await writeFile(join(directory, 'a.yaml'), model('a') + model('b'));
    const { until, readings } = await watching(t, directory);
    const stale = 'warning a.yaml:0 until its errors are mended, this file is served as it was before them';

    await writeFile(join(directory, 'a.yaml'), `${model('a', 'new')}${model('b')}  aliasses: []\n`);
    const invalid = await until(({ problems }) => problems.length > 0);
    assert.equal(models(invalid), 'a=a b=b');
    assert.deepEqual(messages(invalid), [stale, 'error a.yaml:15 unknown field `aliasses`; did you mean `aliases`?']);

    await writeFile(join(directory, 'a.yaml'), 'spec: [');
    const broken = await until(({ problems }) => problems.some(({ line }) => line === 1));
    assert.equal(models(broken), 'a=a b=b');
    assert.ok(messages(broken).includes(stale));

    await writeFile(join(directory, 'other.yaml'), model('c'));
    await until(reading => models(reading) === 'a=a b=b c=c');

    await writeFile(join(directory, 'a.yaml'), model('a', 'mended'));
    assert.deepEqual(messages(await until(reading => models(reading) === 'a=mended c=c')), []);
    assert.ok(readings.every(reading => models(reading).includes('a=')));
  });

  test('a file that is broken from the start gives what is right in it, and others are served', async t => {
    const directory = await temporary(t);
    await writeFile(join(directory, 'broken.yaml'), `${model('a')}${model('b')}  aliasses: []\n`);
    await writeFile(join(directory, 'unreadable.yaml'), 'a: [');
    await writeFile(join(directory, 'latin1.yaml'), Buffer.from([0x61, 0x3a, 0x20, 0xe9, 0x0a]));
    await writeFile(join(directory, 'good.yaml'), model('c'));
    const { latest } = await watching(t, directory);
    assert.equal(models(latest()), 'a=a c=c');
    assert.deepEqual(
      latest().problems.map(({ file, severity }) => `${file.split('/').at(-1)} ${severity}`),
      ['broken.yaml error', 'latin1.yaml error', 'unreadable.yaml error'],
    );
    assert.ok(messages(latest()).includes('error latin1.yaml:0 not text in UTF-8'));
  });

  test('a file that is replaced by renaming another over it is never missing', async t => {
    const directory = await temporary(t);
    const path = join(directory, 'a.yaml');
    await writeFile(path, model('a', 'v0'));
    const { until, readings } = await watching(t, directory);
    for (let version = 1; version <= 5; version++) {
      await writeFile(`${path}.tmp`, model('a', `v${version}`));
      await rename(`${path}.tmp`, path);
      await until(reading => models(reading) === `a=v${version}`);
    }
    assert.ok(readings.every(reading => models(reading).startsWith('a=v')));
  });

  test('a file that an editor moves away, or empties, before it writes anew is never missing', async t => {
    const directory = await temporary(t);
    const path = join(directory, 'a.yaml');
    await writeFile(path, model('a', 'old'));
    await writeFile(join(directory, 'sign.yaml'), model('sign', '0'));
    const { until, readings } = await watching(t, directory);
    const seen = async (sign: number) => {
      await writeFile(join(directory, 'sign.yaml'), model('sign', String(sign)));
      await until(reading => models(reading).includes(`sign=${sign}`));
    };
    await rename(path, `${path}~`);
    await seen(1);
    await writeFile(path, model('a', 'new'));
    await until(reading => models(reading).includes('a=new'));
    const file = await open(path, 'w');
    await seen(2);
    await file.write(model('a', 'newest'));
    await file.close();
    await until(reading => models(reading).includes('a=newest'));
    assert.ok(readings.every(reading => models(reading).startsWith('a=')));
  });

  test('a file that stays empty has nothing in it', async t => {
    const directory = await temporary(t);
    await writeFile(join(directory, 'a.yaml'), model('a'));
    const { until } = await watching(t, directory);
    await writeFile(join(directory, 'a.yaml'), '\n');
    await until(reading => models(reading) === '');
  });

  test('a renamed file goes on as it was: no clash, no age lost, the same spec', async t => {
    const directory = await temporary(t);
    await writeFile(join(directory, 'a.yaml'), model('a'));
    const { latest, until, readings } = await watching(t, directory);
    const before = latest().state.modelDeployments.get('default/a');
    await rename(join(directory, 'a.yaml'), join(directory, 'z.yaml'));
    const file = ({ state }: DirectoryReading) => {
      const origin = state.modelDeployments.get('default/a')?.origin;
      return origin?.kind === 'file' ? origin.file : '';
    };
    const after = (await until(reading => file(reading).endsWith('z.yaml'))).state.modelDeployments.get('default/a');
    assert.equal(after?.spec, before?.spec);
    assert.equal(after?.createdAtMs, before?.createdAtMs);
    assert.ok(readings.every(({ problems }) => problems.length === 0));
  });

  test('what an edit leaves alone stays the same object', async t => {
    const directory = await temporary(t);
    await writeFile(join(directory, 'a.yaml'), model('a') + model('b') + pod('p'));
    const { latest, until } = await watching(t, directory);
    const before = latest().state;
    await writeFile(
      join(directory, 'a.yaml'),
      `# a comment that moves every line\n${model('a')}${model('b', 'new')}${pod('p')}`,
    );
    const { state: after } = await until(reading => models(reading) === 'a=a b=new');
    assert.equal(after.pods, before.pods);
    const [a, b] = ['default/a', 'default/b'].map(key => [
      before.modelDeployments.get(key),
      after.modelDeployments.get(key),
    ]);
    assert.equal(a?.[0]?.spec, a?.[1]?.spec);
    assert.equal(a?.[1]?.generation, 1);
    assert.notEqual(b?.[0]?.spec, b?.[1]?.spec);
    assert.equal(b?.[1]?.generation, 2);
  });

  test('a save that changes nothing is not told', async t => {
    const directory = await temporary(t);
    await writeFile(join(directory, 'a.yaml'), model('a'));
    const { until, readings } = await watching(t, directory);
    await writeFile(join(directory, 'a.yaml'), model('a'));
    await writeFile(join(directory, 'b.yaml'), model('b'));
    await until(reading => models(reading) === 'a=a b=b');
    assert.ok(readings.length <= 2);
  });

  test('is followed further when somebody fails at what it declares', async t => {
    const directory = await temporary(t);
    await writeFile(join(directory, 'a.yaml'), model('a'));
    const abort = new AbortController();
    const failed = Promise.withResolvers<unknown>();
    const recovered = Promise.withResolvers<void>();
    const { ended } = await watchDirectory(directory, {
      signal: abort.signal,
      onState: reading => {
        if (models(reading).includes('bad')) throw new Error('cannot plan that');
        if (models(reading).includes('good')) recovered.resolve();
      },
      onFailure: failed.resolve,
    });
    await writeFile(join(directory, 'b.yaml'), model('bad'));
    assert.match(String(await failed.promise), /cannot plan that/);
    await writeFile(join(directory, 'b.yaml'), model('good'));
    await recovered.promise;
    abort.abort();
    await ended;
  });

  test('that nobody can make anything of in the first place is the error of who watches it', async t => {
    const directory = await temporary(t);
    const onState = () => {
      throw new Error('cannot plan that');
    };
    const watch = watchDirectory(directory, { signal: new AbortController().signal, onState, onFailure: assert.fail });
    await assert.rejects(watch, /cannot plan that/);
  });

  test('is let go of when the signal says so', async t => {
    const directory = await temporary(t);
    await writeFile(join(directory, 'a.yaml'), model('a'));
    const { end, readings } = await watching(t, directory);
    await end();
    const told = readings.length;
    await writeFile(join(directory, 'a.yaml'), model('a', 'new'));
    await new Promise(resolve => setImmediate(resolve));
    assert.equal(readings.length, told);
  });
});

describe('one resource in two files', { timeout }, () => {
  test('is an error that names both; the file that had it first is served', async t => {
    const directory = await temporary(t);
    await writeFile(join(directory, 'z.yaml'), model('a', 'first'));
    const { until } = await watching(t, directory);
    await writeFile(join(directory, 'b.yaml'), `# copied\n${model('a', 'second')}`);
    const clash = await until(({ problems }) => problems.length > 0);
    assert.equal(models(clash), 'a=first');
    const [message] = messages(clash);
    const first = join(directory, 'z.yaml');
    assert.equal(
      message,
      `error b.yaml:3 ModelDeployment default/a is already declared in ${first}:2, which is the one served`,
    );
    await rm(join(directory, 'z.yaml'));
    assert.deepEqual(messages(await until(reading => models(reading) === 'a=second')), []);
  });

  test('at the start, the first by file is served', async t => {
    const directory = await temporary(t);
    await writeFile(join(directory, 'z.yaml'), model('a', 'z'));
    await writeFile(join(directory, 'b.yaml'), model('a', 'b'));
    assert.equal(models(await readPaths([directory])), 'a=b');
  });

  test('two gateways are an error that names both', async t => {
    const directory = await temporary(t);
    await writeFile(join(directory, 'a.yaml'), gateway('one'));
    await writeFile(join(directory, 'b.yaml'), gateway('two'));
    const reading = await readPaths([directory]);
    assert.deepEqual(
      reading.state.gateways.map(({ name }) => name),
      ['one'],
    );
    const first = join(directory, 'a.yaml');
    assert.deepEqual(messages(reading), [
      `error b.yaml:2 only one InferenceGateway is served, and that is default/one in ${first}:2: delete one of the two`,
    ]);
  });
});

describe('host names', { timeout }, () => {
  const at = (host: string) => model('a').replace('10.0.0.1', host);

  test('are resolved before the state is told, and again when a file names another', async t => {
    const directory = await temporary(t);
    await writeFile(join(directory, 'a.yaml'), at('gpu-box'));
    const addresses: Record<string, string> = { 'gpu-box': '10.0.0.8', 'other-box': '10.0.0.9' };
    const { latest, until } = await watching(t, directory, async host => addresses[host] ?? assert.fail(host));
    assert.deepEqual(Object.fromEntries(latest().state.hosts), { 'gpu-box': { ip: '10.0.0.8' } });
    await writeFile(join(directory, 'a.yaml'), at('other-box'));
    const { state } = await until(
      ({ state }) =>
        [...(state.modelDeployments.values().next().value?.spec.backends[0]?.endpoints ?? [])][0] === 'other-box:80',
    );
    assert.deepEqual(Object.fromEntries(state.hosts), { 'other-box': { ip: '10.0.0.9' } });
  });

  test('localhost is IPv4 by the machine', async t => {
    const directory = await temporary(t);
    await writeFile(join(directory, 'a.yaml'), at('localhost'));
    const { state } = await readPaths([directory]);
    assert.deepEqual(state.hosts.get('localhost'), { ip: '127.0.0.1' });
  });
});

test('files can be named one by one, whatever their extension', async t => {
  const directory = await temporary(t);
  const path = join(directory, 'models.conf');
  await writeFile(path, model('a'));
  assert.equal(models(await readPaths([path])), 'a=a');
});
