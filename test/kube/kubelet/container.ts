import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync, rmSync } from 'node:fs';
import { constants } from 'node:os';
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
    const child = spawn(command, args, { stdio: ['ignore', log, log, 'pipe'] });
    closeSync(log);
    const ended = endOf(child).finally(() => rmSync(options.root.scratch, { recursive: true, force: true }));
    const told = child.stdio[3];
    if (!told || !('on' in told)) throw new Error('no pipe to the container');
    const ready = await Promise.race([once(told, 'data').then(() => true), ended.then(() => false)]);
    if (!ready) throw new Error(readFileSync(options.logFile, 'utf8').trimEnd().slice(-500));
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
      ...withParentDeathSignal(['/usr/bin/env', '-i', ...this.#env, ...command]),
    ]);
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], signal, killSignal: 'SIGKILL' });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', chunk => {
        output = (output + chunk).slice(-10_000);
      });
    }
    return { ...(await endOf(child)), output };
  }
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
