import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest, type RequestOptions } from 'node:https';
import type { KubeConfig } from '@kubernetes/client-node';
import { type ApiFailure, parse, readFailure } from './watch-event.ts';

/** What is read of an answer that tells of a failure, bytes. */
const MAX_FAILURE_BYTES = 65_536;

/** An answer of the API server: its body, or why there is none. */
export type Answer =
  | { readonly body: AsyncIterable<Buffer>; readonly failure?: never }
  | { readonly body?: never; readonly failure: ApiFailure };

/** Reads from the API server that a kubeconfig names, as the user that it names. */
export class ApiConnection {
  readonly #kubeConfig: KubeConfig;
  readonly #server: string;
  readonly #idleMs: number;

  /** A connection that is silent for `idleMs` milliseconds is given up, since it may be open at this end only. */
  constructor(kubeConfig: KubeConfig, idleMs: number) {
    const server = kubeConfig.getCurrentCluster()?.server;
    if (server === undefined) throw new Error('the kubeconfig names no cluster');
    this.#kubeConfig = kubeConfig;
    this.#server = server.replace(/\/+$/, '');
    this.#idleMs = idleMs;
  }

  get idleMs(): number {
    return this.#idleMs;
  }

  /** Rejects, as reading the body does, when the connection fails, falls silent or `signal` is aborted. */
  async get(path: string, query: Readonly<Record<string, string>>, signal: AbortSignal): Promise<Answer> {
    const options: RequestOptions = {
      signal,
      headers: { accept: 'application/json', 'user-agent': 'fairlead-operator' },
    };
    // Asked anew each time: tokens are renewed in their files.
    await this.#kubeConfig.applyToHTTPSOptions(options);
    const url = `${this.#server}${path}?${new URLSearchParams(query)}`;
    const response = await this.#send(url, options);
    if (response.message.statusCode === 200) return { body: response.body };
    return { failure: await failureOf(response) };
  }

  #send(url: string, options: RequestOptions): Promise<Response> {
    const { promise, resolve, reject } = Promise.withResolvers<Response>();
    const request = (url.startsWith('https:') ? httpsRequest : httpRequest)(url, options);
    let stream: { destroy(error: Error): unknown } = request;
    // A timer of its own, since that of a socket does not count while it connects.
    const silence = setTimeout(() => stream.destroy(new Error(`silent for ${this.#idleMs / 1_000} s`)), this.#idleMs);
    request.on('response', message => {
      stream = message;
      resolve({ message, body: refreshing(message, silence) });
    });
    request.on('error', reject);
    request.on('close', () => clearTimeout(silence));
    request.end();
    return promise;
  }
}

interface Response {
  readonly message: IncomingMessage;
  readonly body: AsyncIterable<Buffer>;
}

async function* refreshing(message: IncomingMessage, silence: NodeJS.Timeout): AsyncGenerator<Buffer> {
  for await (const chunk of message as AsyncIterable<Buffer>) {
    silence.refresh();
    yield chunk;
  }
}

async function failureOf({ message, body }: Response): Promise<ApiFailure> {
  const code = message.statusCode ?? 0;
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes > MAX_FAILURE_BYTES) break;
  }
  const failure = readFailure(parse(Buffer.concat(chunks).toString('utf8')), code);
  const retryAfterS = Number(message.headers['retry-after']);
  return { ...failure, code, ...(retryAfterS > 0 && { retryAfterMs: retryAfterS * 1_000 }) };
}
