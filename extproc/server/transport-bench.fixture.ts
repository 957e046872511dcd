import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2';
import { connect as connectSocket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ExchangeStream, ServeOptions, Transport } from './transport.ts';

export const MEBIBYTE = 1024 * 1024;
const MAX_MESSAGE_BYTES = 40 * MEBIBYTE;

/** What one stream of the server under test went through. */
class SeenExchange {
  readonly stream: ExchangeStream;
  readonly messages: Buffer[] = [];
  closings = 0;

  constructor(stream: ExchangeStream) {
    this.stream = stream;
  }
}

/** A transport under test, a connection to it, and what its handlers saw: all new for each test. */
export class TransportBench {
  readonly #folder = mkdtempSync(join(tmpdir(), 'fairlead-transport-'));
  readonly path = join(this.#folder, 'extproc.sock');
  readonly #serve: (options: ServeOptions) => Promise<Transport>;
  #transport: Transport | undefined;
  #client: ClientHttp2Session | undefined;
  exchanges: SeenExchange[] = [];
  batches: { logName: string; entries: number[][] }[] = [];
  goaways = 0;
  /** What a handler does with a message; by default it sends it back. */
  onMessage = sendBack;

  constructor(serve: (options: ServeOptions) => Promise<Transport>) {
    this.#serve = serve;
  }

  get transport(): Transport {
    if (this.#transport === undefined) throw new Error('there is no transport yet');
    return this.#transport;
  }

  get client(): ClientHttp2Session {
    if (this.#client === undefined) throw new Error('there is no connection yet');
    return this.#client;
  }

  async open(): Promise<void> {
    this.exchanges = [];
    this.batches = [];
    this.goaways = 0;
    this.onMessage = sendBack;
    await this.start();
    this.#client = connectHttp2('http://localhost', { createConnection: () => connectSocket(this.path) });
    this.#client.on('error', () => {});
    this.#client.on('goaway', () => this.goaways++);
    await once(this.#client, 'connect');
  }

  /** Serves on the socket; again, after a test that drained. */
  async start(): Promise<void> {
    this.#transport = await this.#serve({
      path: this.path,
      maxMessageBytes: MAX_MESSAGE_BYTES,
      openExchange: stream => {
        const exchange = new SeenExchange(stream);
        this.exchanges.push(exchange);
        return {
          message: frame => {
            exchange.messages.push(Buffer.from(frame));
            this.onMessage(exchange, frame);
          },
          closed: () => exchange.closings++,
        };
      },
      accessLog: {
        entries: (logName, entries) => this.batches.push({ logName, entries: entries.map(entry => [...entry]) }),
      },
    });
  }

  async close(): Promise<void> {
    this.client.destroy();
    await this.transport.drain();
  }

  remove(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

function sendBack(exchange: SeenExchange, frame: Uint8Array): void {
  exchange.stream.send(frame);
}
