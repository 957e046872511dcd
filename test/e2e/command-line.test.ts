import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { Fleet, LLAMA } from './harness/fleet.ts';
import { freePorts } from './harness/free-ports.ts';

const FAIRLEAD = join(import.meta.dirname, '..', '..', 'cli', 'bin', 'fairlead');

interface Run {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

function fairlead(...args: readonly string[]): Promise<Run> {
  return new Promise(resolve => {
    const child = execFile(FAIRLEAD, args, { env: { ...process.env, NO_COLOR: '1' } }, (_error, out, err) => {
      resolve({ code: child.exitCode ?? -1, out, err });
    });
  });
}

/** Lines of a table, without the white space that aligns it. */
const rows = (text: string) =>
  text
    .trimEnd()
    .split('\n')
    .map(line => line.split(/ {2,}/));

suite('the command line asks a running gateway', { concurrency: true }, () => {
  let fleet: Fleet;
  let admin: string;
  before(async () => {
    fleet = await Fleet.start();
    admin = fleet.gateway.admin;
  });
  after(() => fleet?.close());

  test('models: what is served, for people', async () => {
    const { code, out, err } = await fairlead('models', '--admin', admin);
    assert.deepEqual([code, err], [0, '']);
    assert.deepEqual(rows(out), [
      ['MODEL', 'TYPE', 'ALIASES', 'READY', 'STRATEGY', 'RESOURCE'],
      ['BAAI/bge-m3', 'text-embeddings', '1/1', 'least-request', 'default/bge'],
      [`${LLAMA}@2`, 'text-generation', 'llama, team/llama, lama été', '1/1', 'least-request', 'default/llama'],
      ['nobody', 'text-generation', '1/1', 'least-request', 'default/nobody'],
      ['public-name', 'text-generation', '1/1', 'random', 'default/renamed'],
      ['openai/whisper', 'automatic-speech-recognition', '1/1', 'least-request', 'default/whisper'],
    ]);
  });

  test('models -o json: the same, for programs', async () => {
    const { code, out } = await fairlead('models', '--admin', `127.0.0.1:${fleet.gateway.adminPort}`, '-o', 'json');
    assert.equal(code, 0);
    const models = JSON.parse(out) as { id: string }[];
    assert.deepEqual(
      models.find(({ id }) => id === LLAMA),
      {
        key: 'default/llama',
        id: LLAMA,
        aliases: ['llama', 'team/llama', 'lama été'],
        type: 'text-generation',
        version: '2',
        strategy: 'least-request',
        endpoints: { ready: 1, total: 1 },
      },
    );
    assert.equal(models.length, 5);
  });

  test('explain: which table is followed, who is connected', async () => {
    const { code, out, err } = await fairlead('explain', '--admin', admin);
    assert.deepEqual([code, err], [0, '']);
    const { table } = await fleet.gateway.node();
    const [follows, controlPlane, envoy, ...rest] = out.trimEnd().split('\n');
    assert.match(follows ?? '', new RegExp(`^Node local follows table ${table?.version}, received [\\d.]+ s ago\\.$`));
    assert.match(controlPlane ?? '', /^The control plane is connected \(unix:\/.*\)\.$/);
    assert.equal(envoy, `Envoy is connected and listens on 127.0.0.1:${fleet.gateway.port}.`);
    assert.deepEqual(rest, []);
  });

  test('explain MODEL: its endpoints, by id, alias and version', async () => {
    for (const name of [LLAMA, 'team/llama', 'llama@2', 'lama été']) {
      const { code, out, err } = await fairlead('explain', name, '--admin', admin);
      assert.deepEqual([code, err], [0, '']);
      assert.ok(out.includes(`${LLAMA} (default/llama), strategy least-request:`), out);
      assert.deepEqual(rows(out).slice(-2), [
        ['ENDPOINT', 'ADDRESS', 'BACKEND', 'PRIORITY', 'IN FLIGHT', 'SCORE', 'STATE', 'LAST FAILURES'],
        ['pods-0', fleet.chat.endpoint, 'pods', '0', '0', '0.00', 'usable'],
      ]);
    }
  });

  test('explain MODEL -o json', async () => {
    const { code, out } = await fairlead('explain', 'llama', '--admin', admin, '-o', 'json');
    assert.equal(code, 0);
    const { model, envoy, table } = JSON.parse(out);
    assert.equal(envoy.connected, true);
    assert.equal(table.version, (await fleet.gateway.node()).table?.version);
    assert.equal(model.key, 'default/llama');
    assert.deepEqual(model.endpoints, [
      {
        endpoint: 'pods-0',
        address: fleet.chat.endpoint,
        backend: 'pods',
        priority: 0,
        inFlight: 0,
        score: 0,
        usable: true,
        failures: [],
      },
    ]);
  });

  test('explain MODEL after failures tells which', async () => {
    assert.equal((await fleet.gateway.chat('nobody')).status, 503);
    const { code, out } = await fairlead('explain', 'nobody', '--admin', admin);
    assert.equal(code, 0);
    assert.match(out, /connect/);
  });

  test('explain of an unknown model: exit code 1, and where to look', async () => {
    const text = await fairlead('explain', 'nosuch', '--admin', admin);
    assert.equal(text.code, 1);
    assert.match(text.out, /\nNo model is named nosuch\. "fairlead models" lists those that there are\.\n$/);
    const json = await fairlead('explain', 'nosuch', '--admin', admin, '-o', 'json');
    assert.equal(json.code, 1);
    assert.equal(JSON.parse(json.out).model, null);
  });

  test('without a gateway there: exit code 1, and what to do', async () => {
    const [port] = await freePorts(1);
    for (const command of ['models', 'explain']) {
      const { code, out, err } = await fairlead(command, '--admin', `http://127.0.0.1:${port}`);
      assert.deepEqual([code, out], [1, '']);
      assert.match(
        err,
        /^fairlead: No gateway answers at http:\/\/127\.0\.0\.1:\d+ .*Start one with "fairlead up DIR"/,
      );
    }
  });

  test('an address that is another’s: exit code 1, and where to look', async () => {
    for (const command of ['models', 'explain']) {
      const { code, out, err } = await fairlead(command, '--admin', fleet.gateway.url);
      assert.deepEqual([code, out], [1, '']);
      assert.match(err, /^fairlead: http:\/\/127\.0\.0\.1:\d+ is not a Fairlead admin address \(port 8889 /);
    }
  });

  test('--help is complete, of the whole and of each command', async () => {
    const { code, out, err } = await fairlead('--help');
    assert.deepEqual([code, err], [0, '']);
    const commands = ['up', 'validate', 'models', 'explain', 'sim', 'operator', 'extproc', 'envoy', 'setup'];
    for (const command of commands) {
      assert.match(out, new RegExp(`^  ${command} .*\\w`, 'm'));
      const help = await fairlead(command, '--help');
      assert.equal(help.code, 0);
      assert.match(help.out, new RegExp(`^Usage: fairlead ${command}`));
    }
  });

  const MISUSES: Readonly<Record<string, readonly string[]>> = {
    'no command': [],
    'an unknown command': ['nosuch'],
    'an unknown option': ['models', '--nosuch'],
    'an unknown format': ['models', '-o', 'yaml'],
    'a missing argument': ['up'],
    'faults without simulated pods': ['up', 'examples/local', '--sim-control', '127.0.0.1:0'],
    'an empty name': ['explain', ''],
    'namespaces of a directory': ['operator', 'examples/local', '--listen', 'unix:/nowhere', '--namespace', 'ml'],
    'a control plane that anybody reaches': ['operator', 'examples/local', '--listen', '0.0.0.0:0'],
    'a path that is none': ['validate', '/nowhere/at/all', '-o', 'json'],
    'an argument too much': ['explain', 'a', 'b'],
    'an admin address that is none': ['models', '--admin', 'file:///tmp'],
  };
  for (const [what, args] of Object.entries(MISUSES)) {
    test(`${what}: exit code 2, told on standard error`, async () => {
      const { code, out, err } = await fairlead(...args);
      assert.deepEqual([code, out], [2, '']);
      assert.match(err, /\S/);
    });
  }
});
