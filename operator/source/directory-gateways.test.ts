import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { type DirectoryReading, readPaths, watchDirectory } from './directory.ts';

/** Nothing here takes this long; it only ends a test that would hang, milliseconds. */
const timeout = 20_000;

const gateway = (spec: string) =>
  `apiVersion: fairlead.dev/v1alpha1\nkind: InferenceGateway\nmetadata: {name: g}\nspec: ${spec}\n`;
const ASKING = gateway('{authentication: {mode: apiKeys}}');
const consumer = 'apiVersion: fairlead.dev/v1alpha1\nkind: Consumer\nmetadata: {name: c}\n';

async function directoryWith(t: TestContext, text: string) {
  const directory = await mkdtemp(join(tmpdir(), 'fairlead-gateways-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  await writeFile(join(directory, 'a.yaml'), text);
  await writeFile(join(directory, 'b.yaml'), consumer);
  return directory;
}

function closed({ state }: DirectoryReading): string {
  return state.closed === undefined ? 'no' : `${state.closed.why} ${state.closed.key}`.trim();
}

const FIRST: Readonly<Record<string, readonly [text: string, closed: string]>> = {
  'that is good': [ASKING, 'no'],
  'with a mistake in a field': [gateway('{authentication: {mode: apikeys}}'), 'refused default/g'],
  'whose kind is mistyped': [ASKING.replace('InferenceGateway', 'InferenceGatway'), 'refused default/g'],
  'whose kind is missing': [ASKING.replace('kind: InferenceGateway\n', ''), 'refused'],
  'without a name': [ASKING.replace('{name: g}', '{}'), 'refused'],
  'in a file that is no YAML': [ASKING.replace('{mode', '{{mode'), 'refused'],
  'with a mistake, and another that is good': [`${gateway('{listeners: 1}')}---\n${ASKING.replace('g}', 'h}')}`, 'no'],
  'of which there is none in a file that is no YAML': ['a: {', 'no'],
};

for (const [what, [text, expected]] of Object.entries(FIRST)) {
  test(`a gateway ${what}: closed ${expected}`, async t => {
    assert.equal(closed(await readPaths([await directoryWith(t, text)])), expected);
  });
}

describe('a gateway in a directory that is watched', { timeout }, () => {
  test('that breaks goes on as it was, and when it goes nobody may call until there is one', async t => {
    const directory = await directoryWith(t, ASKING);
    const abort = new AbortController();
    let latest: DirectoryReading | undefined;
    let told = Promise.withResolvers<void>();
    const { ended } = await watchDirectory(directory, {
      signal: abort.signal,
      onState: reading => {
        latest = reading;
        told.resolve();
        told = Promise.withResolvers();
      },
      onFailure: assert.fail,
    });
    t.after(async () => {
      abort.abort();
      await ended;
    });
    const until = async (holds: (reading: DirectoryReading) => boolean) => {
      while (latest === undefined || !holds(latest)) await told.promise;
      return latest;
    };
    const write = (text: string) => writeFile(join(directory, 'a.yaml'), text);
    await write(gateway('{authentication: {mode: apikeys}}'));
    const broken = await until(({ problems }) => problems.length > 0);
    assert.equal(closed(broken), 'no');
    assert.equal(broken.state.gateways[0]?.spec.authentication.mode, 'apiKeys');
    await rm(join(directory, 'a.yaml'));
    const gone = await until(({ state }) => state.gateways.length === 0);
    assert.equal(closed(gone), 'gone default/g');
    await write(gateway('{}'));
    assert.equal(closed(await until(({ state }) => state.gateways.length === 1)), 'no');
  });
});
