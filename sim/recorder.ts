import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';

/** Bodies up to this size are kept whole; of larger ones only size and hash. */
const KEPT_BODY_BYTES = 65_536;

/** A request as it reached the pod, byte for byte. */
export interface RecordedRequest {
  /** Counts the pod's requests from 0. */
  readonly number: number;
  readonly method: string;
  /** Path and query as received. */
  readonly path: string;
  /** Values by lower-case name; several where a header came several times. */
  readonly headers: Readonly<NodeJS.Dict<string[]>>;
  readonly bodyBytes: number;
  readonly bodySha256: string;
  readonly body: Buffer | undefined;
  /** `cut`: the connection went before the answer was complete, whoever did that. */
  outcome: 'open' | 'answered' | 'cut';
  /** Status answered, once headers were sent. */
  status: number | undefined;
}

/** The pod's last requests, so that a test can say what reached it and what did not. */
export class Recorder {
  readonly #limit: number;
  #requests: RecordedRequest[] = [];
  #count = 0;

  /** @param limit requests kept; the oldest are forgotten first */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Oldest first. */
  get requests(): readonly RecordedRequest[] {
    return this.#requests;
  }

  record(request: IncomingMessage, body: Buffer): RecordedRequest {
    const recorded: RecordedRequest = {
      number: this.#count++,
      method: request.method ?? '',
      path: request.url ?? '',
      headers: request.headersDistinct,
      bodyBytes: body.length,
      bodySha256: createHash('sha256').update(body).digest('hex'),
      body: body.length <= KEPT_BODY_BYTES ? body : undefined,
      outcome: 'open',
      status: undefined,
    };
    this.#requests.push(recorded);
    // Twice the limit before anything moves, so that forgetting costs nothing a request.
    if (this.#requests.length >= 2 * this.#limit) this.#requests = this.#requests.slice(-this.#limit);
    return recorded;
  }
}

/** The record as `GET /sim/requests` shows it: the body as text. */
export function recordAsJson(recorded: RecordedRequest): object {
  return { ...recorded, body: recorded.body?.toString() };
}
