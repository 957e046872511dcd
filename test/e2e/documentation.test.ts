import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { cpSync, existsSync, globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { promisify } from 'node:util';
import { MemoryStore } from '../../extproc/admit/memory-store.ts';
import { newApiKey } from '../../extproc/identity/api-key.ts';
import { freePorts } from './harness/free-ports.ts';
import { until } from './harness/until.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const PAGES = ['README.md', 'docs/quickstart.md', 'examples/local/README.md'];
/** The section of README.md that has a gateway of its own, which asks for keys. */
const TOUR = /^## Who may use what\n[\s\S]*?(?=^## )/m;

/** The commands of a page that ask a running gateway, as a reader would copy them. */
function commandsOf(page: string): string[] {
  const text = textOf(page).replace(TOUR, '');
  return [...text.matchAll(/^```sh\n([\s\S]*?)^```/gm)]
    .map(([, block = '']) => block)
    .filter(block => /^(curl|npx fairlead (models|explain))/.test(block));
}

function textOf(page: string): string {
  return readFileSync(join(ROOT, page), 'utf8');
}

/** `fairlead up` over a copy of an example, on ports of its own. */
class RunningExample {
  readonly directory = mkdtempSync(join(tmpdir(), 'fairlead-docs-'));
  readonly ports: readonly number[];
  readonly #process: ReturnType<typeof spawn>;
  output = '';

  private constructor(example: string, ports: readonly number[]) {
    this.ports = ports;
    cpSync(join(ROOT, 'examples', example), this.directory, { recursive: true });
    // What a reader's own tour has left there.
    rmSync(join(this.directory, 'me.yaml'), { force: true });
    const file = join(this.directory, 'gateway.yaml');
    writeFileSync(file, this.here(readFileSync(file, 'utf8')));
    const args = ['up', this.directory, '--sim', '--log-dir', join(this.directory, '.logs')];
    this.#process = spawn(join(ROOT, 'cli', 'bin', 'fairlead'), args);
    this.#process.stdout?.setEncoding('utf8').on('data', chunk => {
      this.output += chunk;
    });
  }

  static async start(example: string): Promise<RunningExample> {
    const running = new RunningExample(example, await freePorts(2));
    await until(`examples/${example}`, () => running.output.includes('Fairlead is ready.'));
    return running;
  }

  async stop(): Promise<void> {
    this.#process.kill('SIGINT');
    await until('the end', () => this.#process.exitCode !== null, 40_000);
    rmSync(this.directory, { recursive: true });
  }

  /** A command of a page, as it has to be here. */
  here(command: string): string {
    return command
      .replaceAll('8888', String(this.ports[0]))
      .replaceAll('8889', String(this.ports[1]))
      .replaceAll('npx fairlead', 'cli/bin/fairlead');
  }
}

/** Standard output and error of a line of bash. */
async function outputOf(line: string, env: Readonly<Record<string, string>> = {}): Promise<string> {
  const options = { cwd: ROOT, env: { ...process.env, ...env } };
  const { stdout } = await promisify(execFile)('bash', ['-c', `exec 2>&1\n${line}`], options);
  return stdout;
}

suite('the documentation', () => {
  let example: RunningExample;

  before(async () => {
    example = await RunningExample.start('local');
  });

  after(() => example.stop());

  for (const page of PAGES) {
    for (const [index, command] of commandsOf(page).entries()) {
      test(`${page}: command ${index + 1} does what it says`, async () => {
        const admin = command.startsWith('npx fairlead') ? ` --admin http://127.0.0.1:${example.ports[1]}` : '';
        const line = example.here(command.trimEnd()).replaceAll('curl ', 'curl -sS --fail-with-body ') + admin;
        assert.notEqual((await outputOf(line)).trim(), '');
      });
    }
  }

  test('the request that the terminal proposes is answered', async () => {
    const [, command = ''] = /Try it:\n([\s\S]*?\}'\n)/.exec(example.output) ?? [];
    const answer = await outputOf(command.replace('curl ', 'curl -sS --fail-with-body '));
    assert.match(answer, /chat\.completion/);
  });
});

suite('the tour of keys, limits and budgets', () => {
  const [tour = ''] = TOUR.exec(textOf('README.md')) ?? [];
  const shownSteps = steps(tour).filter(({ command }) => !command.startsWith('npx fairlead up'));
  let example: RunningExample;
  let key = '';

  before(async () => {
    example = await RunningExample.start('keys');
  });

  after(() => example.stop());

  const run = (command: string) => {
    const line = example.here(command).replaceAll('examples/keys', example.directory).replaceAll('curl ', 'curl -sS ');
    return outputOf(line.replace(/^KEY=.*\n/, ''), { KEY: key });
  };

  for (const [index, { command, shown }] of shownSteps.entries()) {
    test(`step ${index + 1} shows what a reader sees`, async () => {
      if (!command.startsWith('curl')) {
        const output = await run(command);
        key = /^API key +(\S+)$/m.exec(output)?.[1] ?? key;
        assert.ok(isAsShown(output, shown), output);
        if (command.startsWith('cat')) await until('the limit', async () => (await usage()).includes('3 requests'));
        return;
      }
      // What a request took is known a moment after its answer.
      let output = '';
      await until('the answer', async () => {
        output = await run(command);
        return isAsShown(output, shown);
      }).catch(() => assert.fail(output));
    });
  }

  test('docs/identity.md: each 401 says what is written there', async () => {
    const rows = [...textOf('docs/identity.md').matchAll(/^\| (?:`\w+_\w+`)? ?\| (.*?) \| .*\|$/gm)];
    const senders = {
      'No API key was sent. …': [],
      'No API key was sent: …': ['authorization: Basic YTpi'],
      'This API key has a typing error…': [`x-api-key: ${key.slice(0, -1)}`],
      'This API key is not known: it was withdrawn…': [`x-api-key: ${newApiKey(new Uint8Array(32))}`],
      'This API key is not known. Check it…': ['authorization: Bearer sk-1'],
      'This API key is not known. It has a comma…': ['authorization: Bearer sk-1,sk-2'],
      'This is longer…': [`x-api-key: ${'x'.repeat(513)}`],
      'The authorization and x-api-key headers…': ['authorization: Bearer sk-1', 'x-api-key: sk-2'],
      'This gateway takes API keys, and no tokens.…': ['authorization: Bearer eyJhbGciOiJub25lIn0.e30.'],
    };
    for (const [start, headers] of Object.entries(senders)) {
      const [row = ''] = rows.map(([, message = '']) => message).filter(message => isAsShown(message, start));
      const sent = headers.map(header => `-H '${header}'`).join(' ');
      const output = await run(`curl -i http://127.0.0.1:8888/v1/models ${sent}`);
      assert.ok(row !== '' && isAsShown(output, `401 Unauthorized…www-authenticate: Bearer…${row}`), output);
    }
  });

  const usage = () => run('curl http://127.0.0.1:8888/v1/usage -H "authorization: Bearer $KEY"');
});

suite('commands that need no gateway', () => {
  for (const page of ['docs/identity.md', 'docs/limits.md']) {
    for (const [index, { command, shown }] of steps(textOf(page)).entries()) {
      test(`${page}: command ${index + 1} shows what a reader sees`, async () => {
        const output = await outputOf(command.replaceAll('npx fairlead', 'cli/bin/fairlead'));
        assert.ok(isAsShown(output, shown), output);
      });
    }
  }
});

suite('resources that pages show', () => {
  const directory = mkdtempSync(join(tmpdir(), 'fairlead-docs-'));
  after(() => rmSync(directory, { recursive: true }));

  for (const page of [...PAGES, 'docs/identity.md', 'docs/limits.md', 'docs/tls-and-cors.md']) {
    for (const [index, [, resources = '']] of [
      ...textOf(page).matchAll(/^```yaml\n(apiVersion:[\s\S]*?)^```/gm),
    ].entries()) {
      test(`${page}: example ${index + 1} is without errors in its fields`, async () => {
        const file = join(directory, `${page.replaceAll('/', '-')}-${index}.yaml`);
        writeFileSync(file, resources);
        const problems = JSON.parse(await outputOf(`cli/bin/fairlead validate ${file} -o json || true`)).problems;
        // Secrets and pods are elsewhere.
        const errors = problems.filter(
          ({ severity, message }: Record<string, string>) => severity === 'error' && !/not found/.test(message ?? ''),
        );
        assert.deepEqual(errors, []);
      });
    }
  }
});

test('every link within the documentation leads somewhere', () => {
  const pages = globSync('{README,CHANGELOG,{docs,examples,charts}/**/*}.md', { cwd: ROOT });
  assert.ok(pages.length > 20);
  for (const page of pages) {
    for (const [, target = ''] of textOf(page).matchAll(/\]\((?!https?:)([^)\s]+)\)/g)) {
      const [file = '', anchor] = target.split('#');
      const path = file === '' ? page : join(dirname(page), file);
      assert.ok(existsSync(join(ROOT, path)), `${page} links to ${target}`);
      if (anchor !== undefined) assert.ok(anchorsOf(path).includes(anchor), `${page} links to ${target}`);
    }
  }
});

/** The headings of a page, as links name them. */
function anchorsOf(page: string): string[] {
  return [...textOf(page).matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
      .replaceAll(' ', '-'),
  );
}

/** The rows of the table in docs/limits.md that tell what happens when, one request after the other. */
const EVENT = /^\| ([\d.]+) s \| (.*?) \| ([\d,]+) \| (.*?) ?\|$/gm;

test('docs/limits.md: the example by numbers is what happens', () => {
  let nowMs = 0;
  const store = new MemoryStore({ nowMs: () => nowMs, agents: () => 1 });
  const window = { kind: 'sliding', periodMs: 60_000 } as const;
  const counter = { key: 'tokens', limit: 10_000, window, shadow: false };
  const events = [...textOf('docs/limits.md').matchAll(EVENT)];
  assert.equal(events.length, 11);
  for (const [line, at = '', what = '', used = '', told = ''] of events) {
    nowMs = Number(at) * 1_000;
    const [, asking, asked = ''] = /^(\w) may take ([\d,]+)/.exec(what) ?? [];
    const [, over, took = ''] = /^(\w) is over, and took ([\d,]+)/.exec(what) ?? [];
    if (asking !== undefined) {
      const verdict = store.reserve(asking, [{ counter, amount: numberOf(asked) }]);
      const seconds = verdict.admitted ? '' : Math.ceil((verdict.retryAfterMs ?? 0) / 1_000);
      assert.equal(/retry-after: (\d+)/.exec(told)?.[1] ?? '', String(seconds), line);
    }
    if (over !== undefined) store.settle(over, [], [numberOf(took)]);
    assert.equal(store.read([counter])[0]?.used, numberOf(used), line);
  }
});

function numberOf(text: string): number {
  return Number(text.replaceAll(',', ''));
}

/** The commands of a text, each with what is shown after it. */
function steps(text: string): { readonly command: string; readonly shown: string }[] {
  const blocks = text.matchAll(/^```sh\n([\s\S]*?)^```\n(?:\n```\n([\s\S]*?)^```)?/gm);
  return [...blocks].map(([, command = '', shown = '']) => ({ command, shown }));
}

/** Whether an output is what a page shows of it: "…" is any of it, and times are those of the day. */
function isAsShown(output: string, shown: string): boolean {
  let rest = comparable(output);
  for (const piece of shown.split('…').map(comparable)) {
    const at = rest.indexOf(piece);
    if (at < 0) return false;
    rest = rest.slice(at + piece.length);
  }
  return true;
}

/** Without line breaks, spaces and what the time makes different. */
function comparable(text: string): string {
  return text
    .replaceAll(/\s/g, '')
    .replaceAll(/[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z/g, 'TIME')
    .replaceAll(/(Tryagainin|retry-after:|"retry_after":)[0-9]+/g, '$1N');
}
