import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync, rmSync } from 'node:fs';
import { constants } from 'node:os';
import type { Readable } from 'node:stream';
import { withParentDeathSignal } from '../../../cli/process/parent-death.ts';
import { type ContainerRoot, rootScript } from './container-root.ts';

export interface ContainerOptions {
  readonly networkNamespace: string;
  readonly root: ContainerRoot;
  readonly command: readonly string[];
  readonly workingDir: string;
  readonly env: ReadonlyMap<string, string>;
  /** Takes what it prints. */
  readonly logFile: string;
}

/** The code is 128 and the signal's number for one that a signal ended. */
export interface ContainerEnd {
  readonly exitCode: number;
}

/** unshare(1) of util-linux 2.38 cannot say of a child that SIGKILL ended it. */
const UNSHARE_AFTER_SIGKILL = /sigprocmask unblock failed/;
const KILLED = 128 + constants.signals.SIGKILL;

/** A program that runs as process 1 of its own PID namespace, in its own root, in the network of its pod. */
export class Container {
  /** Never rejects. */
  readonly ended: Promise<ContainerEnd>;
  readonly #pid: number;
  readonly #env: readonly string[];

  private constructor(pid: number, env: readonly string[], ended: Promise<ContainerEnd>) {
    this.#pid = pid;
    this.#env = env;
    this.ended = ended;
  }

  /** @throws Error when it cannot be started, as with a command that does not exist */
  static async start(options: ContainerOptions): Promise<Container> {
    const env = [...options.env].map(([name, value]) => `${name}=${value}`);
    const log = openSync(options.logFile, 'a');
    const [command, ...args] = withParentDeathSignal([
      ...(['nsenter', `--net=${options.networkNamespace}`] as const),
      ...['unshare', '--mount', '--pid', '--uts', '--fork', '--kill-child', '--propagation', 'private'],
      ...['sh', '-ec', rootScript(options.root), 'sh', options.workingDir, '/usr/bin/env', '-i', ...env],
      ...options.command,
    ]);
    const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe', 'pipe', log] });
    const complaints = textOf(child.stderr as Readable);
    closeSync(log);
    const ended = endOf(child).then(async ({ exitCode }) => {
      rmSync(options.root.scratch, { recursive: true, force: true });
      return { exitCode: UNSHARE_AFTER_SIGKILL.test(await complaints) ? KILLED : exitCode };
    });
    const told = child.stdio[3];
    if (!told || !('on' in told)) throw new Error('no pipe to the container');
    const ready = await Promise.race([once(told, 'data').then(() => true), ended.then(() => false)]);
    if (!ready) throw new Error(await complaints);
    return new Container(firstChildOf(child.pid ?? 0), env, ended);
  }

  signal(signal: NodeJS.Signals): void {
    try {
      process.kill(this.#pid, signal);
    } catch {
      // It has ended.
    }
  }

  /** Runs a command inside: its exit code, and all that it printed. Aborting ends it. */
  async exec(command: readonly string[], signal: AbortSignal): Promise<{ exitCode: number; output: string }> {
    const [program, ...args] = withParentDeathSignal([
      ...(['nsenter', '--target', `${this.#pid}`, '--net', '--mount', '--pid', '--uts', '--root', '--wd'] as const),
      // Its parent is nsenter(1), which it is to end with.
      ...['/usr/bin/setpriv', '--pdeathsig', 'KILL', '/usr/bin/env', '-i', ...this.#env, ...command],
    ]);
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], signal, killSignal: 'SIGKILL' });
    const streams = [child.stdout, child.stderr];
    // What the command began may hold on to them when it is gone.
    signal.addEventListener('abort', () => {
      for (const stream of streams) stream.destroy();
    });
    const output = Promise.all(streams.map(textOf));
    return { ...(await endOf(child)), output: (await output).join('') };
  }
}

/** All that can be read there. */
async function textOf(stream: Readable): Promise<string> {
  const chunks = await stream.toArray().catch(() => []);
  return Buffer.concat(chunks).toString().trimEnd();
}

function endOf(child: ChildProcess): Promise<ContainerEnd> {
  return new Promise(resolve => {
    child.on('error', () => resolve({ exitCode: 128 }));
    child.on('exit', (code, signal) => resolve({ exitCode: code ?? 128 + constants.signals[signal ?? 'SIGKILL'] }));
  });
}

/** unshare(1) waits for one child, which is process 1 of the namespace. */
function firstChildOf(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ')[0]);
}
