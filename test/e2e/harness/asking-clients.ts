import { type Answer, send } from './answer.ts';
import { until } from './until.ts';

interface ClientsOptions {
  readonly url: string;
  readonly clients: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** What each asks, again and again. */
  readonly body: object;
}

/** Clients that ask on whatever they are answered, for what is told by all the answers. */
export class AskingClients {
  /** What is asked from now on. */
  body: object;
  readonly answers: Answer[] = [];
  /** Requests that no answer came to. */
  readonly failures: string[] = [];
  readonly #options: ClientsOptions;
  readonly #clients: Promise<void>[];
  #stopped = false;

  constructor(options: ClientsOptions) {
    this.#options = options;
    this.body = options.body;
    this.#clients = Array.from({ length: options.clients }, () => this.#client());
  }

  /** Answers with that status. */
  count(status: number): number {
    return this.answers.filter(answer => answer.status === status).length;
  }

  /** Statuses that were answered, ascending. */
  get statuses(): number[] {
    return [...new Set(this.answers.map(({ status }) => status))].sort();
  }

  /** Waits until so many more were answered with that status, and gives the last of them. */
  async untilMore(status: number, more: number): Promise<Answer> {
    const wanted = this.count(status) + more;
    await until(
      `${more} more answers of ${status}, where there are ${this.statuses}`,
      () => this.count(status) >= wanted,
    );
    return this.answers.findLast(answer => answer.status === status) as Answer;
  }

  /** Lets the running requests end, and starts no more. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#clients);
  }

  async #client(): Promise<void> {
    const { url, headers = {} } = this.#options;
    while (!this.#stopped) {
      await send(url, 'POST /v1/chat/completions', { headers, body: this.body }).then(
        answer => this.answers.push(answer),
        error => this.failures.push(`${error.message} ${error.cause?.message ?? ''}`),
      );
    }
  }
}
