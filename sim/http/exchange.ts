import type { IncomingMessage, ServerResponse } from 'node:http';
import { RESET_AFTER_TOKENS, type RequestFault } from '../faults.ts';
import type { RecordedRequest } from '../recorder.ts';

/** A reply that is complete at once, such as an error. */
export interface Reply {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/**
 * One request and its answer on the wire, with the fault that the pod was told to commit on it. Writers need not
 * know of faults: they write, and ask `tokensLeft` how much of a stream may still pass.
 */
export class Exchange {
  readonly record: RecordedRequest;
  readonly body: Buffer;
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #fault: RequestFault | undefined;
  #tokensSent = 0;
  #struck = false;

  constructor(
    request: IncomingMessage,
    response: ServerResponse,
    received: { readonly record: RecordedRequest; readonly body: Buffer },
    fault: RequestFault | undefined,
  ) {
    this.#request = request;
    this.#response = response;
    this.record = received.record;
    this.body = received.body;
    this.#fault = fault;
  }

  get contentType(): string | undefined {
    return this.#request.headers['content-type'];
  }

  /** Runs when the connection is gone before the answer is complete; at once where it already is. */
  onCut(listener: () => void): void {
    if (this.#response.closed) listener();
    else this.#response.once('close', () => this.#response.writableFinished || listener());
  }

  /** Commits a fault that comes before any answer. @returns whether the request is dealt with by that */
  failEarly(statusReply: (status: number) => Reply): boolean {
    const fault = this.#fault;
    if (fault?.kind === 'reset-before-headers') {
      this.#request.socket.resetAndDestroy();
      return true;
    }
    if (fault?.kind === 'status') {
      const usual = statusReply(fault.status);
      const wait = fault.retryAfterSeconds;
      this.reply({
        status: fault.status,
        contentType: fault.contentType ?? usual.contentType,
        body: fault.body ?? usual.body,
        headers: wait === undefined ? {} : { 'retry-after': String(wait) },
      });
      return true;
    }
    return fault?.kind === 'stall' && fault.afterTokens === undefined;
  }

  reply({ status, contentType, body, headers = {} }: Reply): void {
    const bytes = Buffer.from(body);
    this.#open(status, { 'content-type': contentType, 'content-length': bytes.length, ...headers });
    if (this.#faultAfterTokens() !== undefined) {
      this.#strikeAfter(bytes.subarray(0, bytes.length / 2));
    } else if (this.#fault?.kind === 'slow-close') {
      this.#response.write(bytes.subarray(0, -1));
      this.#endLater(this.#fault.holdMs, bytes.subarray(-1));
    } else {
      this.#response.end(bytes);
    }
  }

  /** Sends the headers of an event stream now, before there is anything to say. */
  openStream(): void {
    this.#open(200, { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-cache' });
    this.#response.flushHeaders();
    if (this.tokensLeft === 0) this.#strikeAfter('');
  }

  /** Tokens of the stream that a fault still lets pass. */
  get tokensLeft(): number {
    return (this.#faultAfterTokens() ?? Number.POSITIVE_INFINITY) - this.#tokensSent;
  }

  /** Sends events that carry `tokens` tokens; where that exhausts `tokensLeft`, the fault strikes after them. */
  events(text: string, tokens: number): void {
    if (this.#struck) return;
    this.#tokensSent += tokens;
    if (this.tokensLeft <= 0) this.#strikeAfter(text);
    else this.#response.write(text);
  }

  endStream(text: string): void {
    if (this.#struck) return;
    if (this.#fault?.kind === 'slow-close') {
      this.#response.write(text);
      this.#endLater(this.#fault.holdMs, '');
    } else {
      this.#response.end(text);
    }
  }

  #open(status: number, headers: Record<string, string | number>): void {
    this.record.status = status;
    this.#response.writeHead(status, headers);
  }

  #faultAfterTokens(): number | undefined {
    if (this.#fault?.kind === 'reset-mid-stream') return this.#fault.afterTokens ?? RESET_AFTER_TOKENS;
    return this.#fault?.kind === 'stall' ? this.#fault.afterTokens : undefined;
  }

  /** Sends `last`, then resets the connection or falls silent, as the fault says. */
  #strikeAfter(last: string | Buffer): void {
    this.#struck = true;
    // An immediate later the kernel has the bytes: a reset would drop what still waits here.
    const reset = () => setImmediate(() => this.#request.socket.resetAndDestroy());
    this.#response.write(last, this.#fault?.kind === 'reset-mid-stream' ? reset : undefined);
  }

  #endLater(holdMs: number, last: string | Buffer): void {
    const timer = setTimeout(() => this.#response.end(last), holdMs);
    this.#response.once('close', () => clearTimeout(timer));
  }
}
