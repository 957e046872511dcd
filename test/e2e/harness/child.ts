import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { withParentDeathSignal } from '../../../cli/process/parent-death.ts';
import { until } from './until.ts';

const FAIRLEAD = join(import.meta.dirname, '..', '..', '..', 'cli', 'bin', 'fairlead');

/** One `fairlead` process, started by itself. */
export class Child {
  readonly #process: ChildProcess;
  #output = '';

  /** @param args of the command line, from the command on */
  constructor(...args: readonly string[]) {
    // A test that is killed must not leave its processes behind.
    const [command, ...rest] = withParentDeathSignal([FAIRLEAD, ...args]);
    this.#process = spawn(command, rest, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, NO_COLOR: '1' },
    });
    for (const stream of [this.#process.stdout, this.#process.stderr]) {
      stream?.setEncoding('utf8').on('data', chunk => {
        this.#output += chunk;
      });
    }
  }

  get pid(): number {
    return this.#process.pid ?? 0;
  }

  /** All that it printed. */
  get output(): string {
    return this.#output;
  }

  async untilPrinted(text: string): Promise<void> {
    await until(`"${text}" of pid ${this.pid}`, () => {
      if (this.#ended && !this.#output.includes(text)) throw new Error(`it ended:\n${this.#output}`);
      return this.#output.includes(text);
    });
  }

  /** Sends the signal and waits for the end: the exit code, or the signal that ended it. */
  async end(signal: NodeJS.Signals): Promise<number | string | null> {
    this.#process.kill(signal);
    return this.ended();
  }

  /** Waits for it to end by itself: the exit code, or the signal that ended it. */
  async ended(): Promise<number | string | null> {
    await until(`the end of pid ${this.pid}`, () => this.#ended);
    return this.#process.exitCode ?? this.#process.signalCode;
  }

  get #ended(): boolean {
    return this.#process.exitCode !== null || this.#process.signalCode !== null;
  }
}
