import { setTimeout as delay } from 'node:timers/promises';
import { until } from './until.ts';

/** An answer that came whole, with status 200. */
export interface Answer {
  /** What the client asked for. */
  readonly asked: string;
  /** Who answered, as the gateway says. */
  readonly model: string | null;
  readonly backend: string | null;
  /** The pod, as itself says. */
  readonly pod: string | null;
}

interface LoadOptions {
  /** Base URL of the gateway. */
  readonly url: string;
  /** Each asks again as soon as it was answered. */
  readonly clients: number;
  /** Every client asks for each in turn. */
  readonly models: readonly string[];
  /** Whether every other turn is a stream; true when absent. */
  readonly streams?: boolean;
  /** Tokens of an answer. */
  readonly tokens?: number;
}

/** Whoever was refused waits for as long before he asks again. */
const PATIENCE_MS = 10;

/** Clients that never rest, while something is done to the gateway. */
export class SteadyLoad {
  /** Where requests go from now on. */
  url: string;
  readonly answers: Answer[] = [];
  /** What went wrong, in words. */
  readonly failures: string[] = [];
  readonly #options: LoadOptions;
  readonly #clients: Promise<void>[];
  /** Requests that ended, by client. */
  readonly #turns: number[];
  #stopped = false;

  constructor(options: LoadOptions) {
    this.#options = options;
    this.url = options.url;
    this.#turns = Array.from({ length: options.clients }, () => 0);
    this.#clients = Array.from({ length: options.clients }, (_, index) => this.#client(index));
  }

  /** Requests that ended. */
  get ended(): number {
    return this.answers.length + this.failures.length;
  }

  /** Waits until every request that is running now has ended, and another `more` were answered or failed. */
  async untilMore(more: number): Promise<void> {
    const before = [...this.#turns];
    await until('the requests that are running', () =>
      this.#turns.every((turns, index) => turns > (before[index] ?? 0)),
    );
    const wanted = this.ended + more;
    await until(`${more} more requests`, () => this.ended >= wanted, 60_000);
  }

  /** Lets the running requests end, and starts no more. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#clients);
  }

  async #client(index: number): Promise<void> {
    const { models, streams = true } = this.#options;
    for (let turn = index; !this.#stopped; turn++) {
      const asked = models[turn % models.length] ?? '';
      const stream = streams && Math.floor(turn / models.length) % 2 === 1;
      await this.#ask(asked, stream).catch(error => {
        this.failures.push(`${asked}: ${error.message} ${error.cause?.message ?? ''}`);
        return delay(PATIENCE_MS);
      });
      this.#turns[index] = (this.#turns[index] ?? 0) + 1;
    }
  }

  async #ask(asked: string, stream: boolean): Promise<void> {
    const messages = [{ role: 'user', content: 'Hi' }];
    const response = await fetch(`${this.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model: asked, messages, max_tokens: this.#options.tokens ?? 4, stream }),
    });
    const text = await response.text();
    if (response.status !== 200) throw new Error(`${response.status} ${text}`);
    if (stream ? !text.endsWith('data: [DONE]\n\n') : !text.endsWith('}')) throw new Error(`cut: ${text}`);
    const { headers } = response;
    this.answers.push({
      asked,
      model: headers.get('x-fairlead-model'),
      backend: headers.get('x-fairlead-backend'),
      pod: headers.get('x-sim-pod'),
    });
  }
}
