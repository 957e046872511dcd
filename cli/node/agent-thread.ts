import { setTimeout as delay } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import type { ToAgent } from '../../agent/messages.ts';
import type { AgentThreadData } from '../../agent/thread.ts';

/** An agent that has not ended by then is cut off: whoever stops this process waits for it, two seconds in `up`. */
const STOP_GRACE_MS = 1_000;

/** The agent in a thread of its own, which is to run until it is stopped. */
export class AgentThread {
  readonly worker: Worker;
  readonly #ended: Promise<unknown>;
  readonly #failed = new AbortController();
  #stopping = false;

  constructor(data: AgentThreadData) {
    this.worker = new Worker(new URL('../../agent/thread.ts', import.meta.url), { workerData: data });
    this.#ended = new Promise(resolve => this.worker.once('exit', resolve));
    this.worker.once('error', error => this.#failed.abort(error));
    this.worker.once('exit', code => {
      if (!this.#stopping) this.#failed.abort(new Error(`the agent's thread ended with ${code}`));
    });
  }

  /** Aborts with the error when the thread ends without having been told to. */
  get failed(): AbortSignal {
    return this.#failed.signal;
  }

  /** Lets the agent write what it has to write and close what it serves. */
  async stop(): Promise<void> {
    this.#stopping = true;
    this.worker.postMessage({ kind: 'stop' } satisfies ToAgent);
    await Promise.race([this.#ended, delay(STOP_GRACE_MS, undefined, { ref: false })]);
    await this.worker.terminate();
  }
}
