import { type ChildProcess, spawn } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import { LineSplitter } from './lines.ts';
import { HAS_PARENT_DEATH_SIGNAL, withParentDeathSignal } from './parent-death.ts';

/** A program that is to run as long as its supervisor does. */
export interface ChildSpec {
  /** What people call it: "envoy". */
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  /** Each line that the child prints. */
  readonly onLine: (line: string, stream: OutputStream) => void;
}

export type OutputStream = 'stdout' | 'stderr';

/** What happens to a child, for the person who watches. */
export type ChildEvent =
  | { readonly kind: 'started'; readonly name: string; readonly pid: number }
  | ({ readonly kind: 'ended'; readonly name: string; readonly restartInMs: number } & ChildEnd);

interface ChildEnd {
  /** "exit code 1", "killed by SIGKILL". */
  readonly why: string;
  /** What it printed last, where it ended by itself: the reason is among them. */
  readonly lastLines: readonly string[];
}

/** Enough for a stack trace and the message above it. */
const KEPT_LINES = 20;

const FIRST_RESTART_MS = 100;
const MAX_RESTART_MS = 5_000;
/** A child that ran this long is taken to be well: its next restart is quick again. */
const STABLE_MS = 10_000;

/**
 * Keeps one child process running: restarted with exponential backoff, and never outliving this process, not even
 * when this process is killed hard (the kernel's parent-death signal, prctl(2) PR_SET_PDEATHSIG, on Linux).
 */
export class Supervisor {
  readonly #spec: ChildSpec;
  readonly #onEvent: (event: ChildEvent) => void;
  readonly #stopping = new AbortController();
  #child: ChildProcess | undefined;
  readonly #finished: Promise<void>;

  constructor(spec: ChildSpec, onEvent: (event: ChildEvent) => void) {
    this.#spec = spec;
    this.#onEvent = onEvent;
    this.#finished = this.#keepRunning();
  }

  /** Sends SIGTERM, then SIGKILL after `graceMs`; resolves when the child is gone. */
  async stop(graceMs: number): Promise<void> {
    this.#stopping.abort();
    const child = this.#child;
    child?.kill('SIGTERM');
    const kill = setTimeout(() => child?.kill('SIGKILL'), graceMs);
    await this.#finished;
    clearTimeout(kill);
  }

  async #keepRunning(): Promise<void> {
    const { signal } = this.#stopping;
    let restartInMs = FIRST_RESTART_MS;
    while (!signal.aborted) {
      const startedMs = performance.now();
      const end = await this.#runOnce();
      if (signal.aborted) return;
      if (performance.now() - startedMs > STABLE_MS) restartInMs = FIRST_RESTART_MS;
      this.#onEvent({ kind: 'ended', name: this.#spec.name, restartInMs, ...end });
      await delay(restartInMs, undefined, { signal }).catch(() => undefined);
      restartInMs = Math.min(restartInMs * 2, MAX_RESTART_MS);
    }
  }

  /** Resolves with how the child ended. */
  #runOnce(): Promise<ChildEnd> {
    const [command, ...args] = withParentDeathSignal([this.#spec.command, ...this.#spec.args]);
    // In a session of its own: Ctrl-C in the terminal is for this process, which lets its children finish first.
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], detached: HAS_PARENT_DEATH_SIGNAL });
    this.#child = child;
    const lastLines: string[] = [];
    for (const stream of ['stdout', 'stderr'] as const) {
      const splitter = new LineSplitter(line => {
        lastLines.push(line);
        if (lastLines.length > KEPT_LINES) lastLines.shift();
        this.#spec.onLine(line, stream);
      });
      child[stream].setEncoding('utf8');
      child[stream].on('data', chunk => splitter.push(chunk)).on('end', () => splitter.end());
    }
    return new Promise(resolve => {
      child.on('spawn', () => this.#onEvent({ kind: 'started', name: this.#spec.name, pid: child.pid ?? 0 }));
      child.on('error', error => resolve({ why: `cannot be started: ${error.message}`, lastLines: [] }));
      child.on('close', (code, signal) =>
        resolve(signal ? { why: `killed by ${signal}`, lastLines: [] } : { why: `exit code ${code}`, lastLines }),
      );
    });
  }
}
