import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest, type RequestOptions } from 'node:https';
import type { ApiAccess } from './api-access.ts';
import { type ApiFailure, parse, readFailure } from './api-failure.ts';

/** What is read of an answer that tells of a failure, bytes. */
const MAX_FAILURE_BYTES = 65_536;

/** An answer of the API server: its body, or why there is none. */
export type Answer =
  | { readonly body: AsyncIterable<Buffer>; readonly failure?: never }
  | { readonly body?: never; readonly failure: ApiFailure };

/** The document that the API server answered, or why there is none. */
export type Reply =
  | { readonly object: unknown; readonly failure?: never }
  | { readonly object?: never; readonly failure: ApiFailure };

/** A request with a document. */
export interface ApiRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** "/apis/<group>/<version>/…" */
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: unknown;
  /** Of the body; "application/json" when absent. A PATCH needs one of the patch types. */
  readonly contentType?: string;
}

/** Server-side apply takes YAML, which JSON is: https://kubernetes.io/docs/reference/using-api/server-side-apply/ */
export const APPLY_PATCH = 'application/apply-patch+yaml';
/** RFC 7396. */
export const MERGE_PATCH = 'application/merge-patch+json';

/** A connection that is silent for this long is dead, milliseconds. Watches are asked to end before. */
const IDLE_MS = 50_000;

/** Asks the API server as whoever `access` says. */
export class ApiConnection {
  readonly #access: ApiAccess;
  readonly #idleMs: number;

  /** A connection that is silent for `idleMs` milliseconds is given up, since it may be open at this end only. */
  constructor(access: ApiAccess, idleMs = IDLE_MS) {
    this.#access = access;
    this.#idleMs = idleMs;
  }

  get idleMs(): number {
    return this.#idleMs;
  }

  /** Rejects, as reading the body does, when the connection fails, falls silent or `signal` is aborted. */
  async get(path: string, query: Readonly<Record<string, string>>, signal: AbortSignal): Promise<Answer> {
    const response = await this.#ask({ method: 'GET', path, query }, signal);
    if (response.message.statusCode === 200) return { body: response.body };
    return { failure: await failureOf(response) };
  }

  /** One document for another. Rejects when the connection fails, falls silent or `signal` is aborted. */
  async send(request: ApiRequest, signal: AbortSignal): Promise<Reply> {
    const response = await this.#ask(request, signal);
    const { statusCode = 0 } = response.message;
    if (statusCode < 200 || statusCode > 299) return { failure: await failureOf(response) };
    const chunks: Buffer[] = [];
    for await (const chunk of response.body) chunks.push(chunk);
    return { object: parse(Buffer.concat(chunks).toString('utf8')) };
  }

  async #ask({ method, path, query, body, contentType }: ApiRequest, signal: AbortSignal): Promise<Response> {
    const bytes = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
    const options: RequestOptions = {
      method,
      signal,
      headers: {
        accept: 'application/json',
        'user-agent': 'fairlead-operator',
        ...(bytes && { 'content-type': contentType ?? 'application/json', 'content-length': bytes.length }),
      },
    };
    await this.#access.authorize(options);
    const search = query === undefined ? '' : `?${new URLSearchParams(query)}`;
    return this.#send(`${this.#access.server}${path}${search}`, options, bytes);
  }

  #send(url: string, options: RequestOptions, body: Buffer | undefined): Promise<Response> {
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
    request.end(body);
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
