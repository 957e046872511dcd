import assert from 'node:assert/strict';
import { type ClientHttp2Session, type ClientHttp2Stream, constants } from 'node:http2';

/** For tests: one gRPC call over plain HTTP/2, so that every frame is in the test's hands. */
export class RawGrpcCall {
  readonly #stream: ClientHttp2Stream;
  readonly #received: Buffer[] = [];
  #rest = Buffer.alloc(0);
  readonly #trailers: Promise<string>;

  constructor(session: ClientHttp2Session, path: string) {
    this.#stream = session.request({
      ':method': 'POST',
      ':path': path,
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    this.#stream.on('error', () => {});
    this.#stream.on('data', (chunk: Buffer) => this.#take(chunk));
    this.#trailers = new Promise((resolve, reject) => {
      const take = (headers: Record<string, unknown>) => {
        if (headers['grpc-status'] !== undefined) resolve(String(headers['grpc-status']));
      };
      this.#stream.on('response', take);
      this.#stream.on('trailers', take);
      this.#stream.on('close', () => reject(new Error('the stream closed without a status')));
    });
    this.#trailers.catch(() => {});
  }

  /** Messages that were received and not asked for. */
  get waiting(): number {
    return this.#received.length;
  }

  send(message: Uint8Array): void {
    this.#stream.write(framed(message));
  }

  write(bytes: Uint8Array): void {
    this.#stream.write(bytes);
  }

  end(): void {
    this.#stream.end();
  }

  reset(): void {
    this.#stream.close(constants.NGHTTP2_INTERNAL_ERROR);
  }

  async next(): Promise<Buffer> {
    await until(() => this.#received.length > 0);
    return this.#received.shift() ?? assert.fail('no message');
  }

  status(): Promise<string> {
    return this.#trailers;
  }

  #take(chunk: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, chunk]);
    while (this.#rest.length >= 5 && this.#rest.length >= 5 + this.#rest.readUInt32BE(1)) {
      const length = this.#rest.readUInt32BE(1);
      this.#received.push(this.#rest.subarray(5, 5 + length));
      this.#rest = this.#rest.subarray(5 + length);
    }
  }
}

/** gRPC's envelope: not compressed, length, message. */
export function framed(message: Uint8Array): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

/** Waits for a condition that other turns of the event loop bring about; fails when they do not. */
export async function until(condition: () => boolean): Promise<void> {
  const deadlineMs = Date.now() + 20_000;
  while (!condition()) {
    if (Date.now() > deadlineMs) assert.fail(`waited in vain for ${condition}`);
    await new Promise(resolve => setImmediate(resolve));
  }
}
