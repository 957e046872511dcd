import { Agent, type IncomingMessage, request } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { until } from '../../e2e/harness/until.ts';

/** A chat completion that came whole: an answer with status 200, a stream to its [DONE]. */
interface Answer {
  /** The simulated pod, as itself says. */
  readonly pod: string;
}

interface LoadOptions {
  /** Base URL of the gateways' Service. */
  readonly url: string;
  readonly model: string;
  /** One request begins this long after the other, whoever is slow. Milliseconds. */
  readonly intervalMs: number;
  /** Sent with each request, as an API key is. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** Tokens of the answers, in turn: 0.03 s to 2 s on the simulated GPU. */
const TOKENS = [4, 20, 60, 250];
/** Connections that are not used for so long are closed by this end, as clients do. */
const IDLE_MS = 30_000;
const RETRIES = 3;
const RETRY_MS = 50;
/** A stream that says nothing for so long is taken to be lost. */
const SILENCE_MS = 60_000;

/**
 * What clients ask of the gateways while something is done to them: at a pace of its own, half of it streams, over
 * HTTP/1 connections that are kept and used in turn.
 *
 * A request is asked again only where it cannot have reached a gateway: its connection was never made. Whatever else
 * does not end with a whole answer of status 200 is a failure: an answer that says 503, a kept connection that is reset
 * under a request, a stream without its end. Nobody but the gateways could have prevented those, and whoever sent a POST
 * cannot know whether to send it again.
 */
export class Load {
  readonly answers: Answer[] = [];
  /** What went wrong, in words. */
  readonly failures: string[] = [];
  /** Connections that could not be made, each time followed by another attempt. */
  refused = 0;
  readonly #options: LoadOptions;
  // In turn, so that none is idle for long.
  readonly #agent = new Agent({ keepAlive: true, scheduling: 'fifo', timeout: IDLE_MS });
  readonly #running = new Set<Promise<void>>();
  readonly #timer: NodeJS.Timeout;
  #sent = 0;

  constructor(options: LoadOptions) {
    this.#options = options;
    this.#timer = setInterval(() => this.#begin(), options.intervalMs);
  }

  /** Waits until all that is running now has ended, and another `more` were answered. */
  async untilMore(more: number): Promise<void> {
    await Promise.all(this.#running);
    const wanted = this.answers.length + more;
    await until(`${more} more answers`, () => this.answers.length >= wanted, 120_000);
  }

  /** Lets the running requests end, and starts no more. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all(this.#running);
    this.#agent.destroy();
  }

  #begin(): void {
    const turn = this.#sent++;
    const one = this.#ask(turn % 2 === 0, TOKENS[Math.floor(turn / 2) % TOKENS.length] ?? 0)
      .then(
        answer => void this.answers.push(answer),
        (error: Error) => void this.failures.push(`${new Date().toISOString()} request ${turn}: ${error.message}`),
      )
      .finally(() => this.#running.delete(one));
    this.#running.add(one);
  }

  async #ask(stream: boolean, tokens: number): Promise<Answer> {
    const response = await this.#send({ stream, max_tokens: tokens });
    let text = '';
    response.setEncoding('utf8');
    for await (const chunk of response) text += chunk;
    if (response.statusCode !== 200) throw new Error(`${response.statusCode} ${text}`);
    if (!text.endsWith(stream ? 'data: [DONE]\n\n' : '}')) throw new Error(`not whole: ${text.slice(-200)}`);
    return { pod: String(response.headers['x-sim-pod']) };
  }

  /** The head of the answer; made again as long as no connection could be had. */
  async #send(fields: object): Promise<IncomingMessage> {
    for (let retries = 0; ; retries++) {
      try {
        return await this.#sendOnce(fields);
      } catch (error) {
        if (!(error instanceof NotSent) || retries === RETRIES) throw error;
        this.refused++;
        await delay(RETRY_MS);
      }
    }
  }

  #sendOnce(fields: object): Promise<IncomingMessage> {
    const { url, model, headers: more } = this.#options;
    return new Promise((resolve, reject) => {
      const messages = [{ role: 'user', content: 'Hi' }];
      const body = JSON.stringify({ model, messages, ...fields });
      const length = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
      const options = { method: 'POST', agent: this.#agent, headers: { ...more, ...length } };
      const outgoing = request(`${url}/v1/chat/completions`, options, resolve);
      outgoing.setTimeout(SILENCE_MS, () => outgoing.destroy(new Error(`silent for ${SILENCE_MS} ms`)));
      outgoing.on('error', (error: NodeJS.ErrnoException) => {
        if (error.syscall === 'connect') reject(new NotSent(error.message));
        else reject(new Error(`${error.message} on a ${outgoing.reusedSocket ? 'kept' : 'new'} connection`));
      });
      outgoing.end(body);
    });
  }
}

/** A connection that could not be made. */
class NotSent extends Error {}
