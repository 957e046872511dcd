import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { promisify } from 'node:util';
import { freePorts } from './harness/free-ports.ts';
import { until } from './harness/until.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const PAGES = ['README.md', 'docs/quickstart.md', 'examples/local/README.md'];

/** The commands of a page that ask a running gateway, as a reader would copy them. */
function commandsOf(page: string): string[] {
  const text = readFileSync(join(ROOT, page), 'utf8');
  return [...text.matchAll(/^```sh\n([\s\S]*?)^```/gm)]
    .map(([, block = '']) => block)
    .filter(block => /^(curl|npx fairlead (models|explain))/.test(block));
}

suite('the documentation', () => {
  const directory = mkdtempSync(join(tmpdir(), 'fairlead-docs-'));
  let ports: number[];
  let output = '';
  let gateway: ReturnType<typeof spawn>;

  before(async () => {
    ports = await freePorts(2);
    cpSync(join(ROOT, 'examples', 'local'), directory, { recursive: true });
    const file = join(directory, 'gateway.yaml');
    writeFileSync(file, onPorts(readFileSync(file, 'utf8')));
    gateway = spawn(join(ROOT, 'cli', 'bin', 'fairlead'), [
      'up',
      directory,
      '--sim',
      '--log-dir',
      join(directory, '.logs'),
    ]);
    gateway.stdout?.setEncoding('utf8').on('data', chunk => {
      output += chunk;
    });
    await until('the example', () => output.includes('Fairlead is ready.'));
  });

  after(async () => {
    gateway.kill('SIGINT');
    await until('the end', () => gateway.exitCode !== null, 40_000);
    rmSync(directory, { recursive: true });
  });

  const onPorts = (text: string) =>
    text
      .replaceAll('8888', String(ports[0]))
      .replaceAll('8889', String(ports[1]))
      .replaceAll('curl ', 'curl -sS --fail-with-body ');

  for (const page of PAGES) {
    for (const [index, command] of commandsOf(page).entries()) {
      test(`${page}: command ${index + 1} does what it says`, async () => {
        const admin = command.startsWith('npx fairlead') ? ` --admin http://127.0.0.1:${ports[1]}` : '';
        const line = onPorts(command.trimEnd()).replace('npx fairlead', 'cli/bin/fairlead') + admin;
        const { stdout } = await promisify(execFile)('bash', ['-c', line], { cwd: ROOT });
        assert.notEqual(stdout.trim(), '');
      });
    }
  }

  test('the request that the terminal proposes is answered', async () => {
    const [, command = ''] = /Try it:\n([\s\S]*?\}'\n)/.exec(output) ?? [];
    const { stdout } = await promisify(execFile)('bash', [
      '-c',
      command.replace('curl ', 'curl -sS --fail-with-body '),
    ]);
    assert.match(stdout, /chat\.completion/);
  });
});
