import { createServer, type RequestListener, type Server } from 'node:http';

/** uvicorn's limit of a request head (h11's buffer). */
const MAX_HEADER_BYTES = 65_536;

/** Where a server listens. */
export interface Place {
  readonly address: string;
  readonly port: number;
}

/**
 * An HTTP server that can stop listening and start again at the same place, as a pod does that crashes and comes
 * back.
 */
export class Listener {
  readonly #server: Server;
  #place: Place;
  #refusing = false;

  private constructor(answer: RequestListener, place: Place, idleCloseMs: number) {
    this.#place = place;
    const options = {
      keepAliveTimeout: idleCloseMs,
      // Node adds a second of grace by default; uvicorn closes on the dot.
      keepAliveTimeoutBuffer: 0,
      maxHeaderSize: MAX_HEADER_BYTES,
      noDelay: true,
    };
    this.#server = createServer(options, (request, response) => {
      // A pod that is going away finishes what it has begun, and then hangs up.
      response.once('finish', () => this.#refusing && request.socket.end());
      answer(request, response);
    });
  }

  /**
   * Starts to listen.
   *
   * @param place port 0 for any free one; `address` and `port` then tell which
   * @throws Error that says what to do, when the address is taken or is not this machine's
   */
  static async open(answer: RequestListener, place: Place, idleCloseMs: number): Promise<Listener> {
    const listener = new Listener(answer, place, idleCloseMs);
    await listener.accept();
    return listener;
  }

  get address(): string {
    return this.#place.address;
  }
  get port(): number {
    return this.#place.port;
  }

  /** Listens again after `refuse`; nothing happens where it already does. */
  async accept(): Promise<void> {
    this.#refusing = false;
    if (this.#server.listening) return;
    const { address, port } = this.#place;
    await new Promise<void>((resolve, reject) => {
      const fail = (error: NodeJS.ErrnoException) => reject(new Error(reason(error, address, port)));
      this.#server.once('error', fail);
      this.#server.listen(port, address, () => {
        this.#server.off('error', fail);
        resolve();
      });
    });
    const bound = this.#server.address();
    if (bound !== null && typeof bound === 'object') this.#place = { address, port: bound.port };
  }

  /** Closes the listening socket and idle connections; the busy ones too where told to drop them. */
  refuse(dropConnections: boolean): void {
    this.#refusing = true;
    // Closes idle connections as well.
    if (this.#server.listening) this.#server.close();
    if (dropConnections) this.#server.closeAllConnections();
  }

  async close(): Promise<void> {
    await this.#end(true);
  }

  /** Takes nothing new; done when what it has begun is finished. */
  async drain(): Promise<void> {
    await this.#end(false);
  }

  async #end(dropConnections: boolean): Promise<void> {
    const { listening } = this.#server;
    const closed = new Promise<void>(resolve => this.#server.once('close', resolve));
    this.refuse(dropConnections);
    if (listening) await closed;
  }
}

function reason(error: NodeJS.ErrnoException, address: string, port: number): string {
  const place = `${address}:${port}`;
  if (error.code === 'EADDRINUSE')
    return `${place} is taken by another process. Stop that one, or choose another port.`;
  if (error.code === 'EADDRNOTAVAIL') {
    return `${address} is not an address of this machine. On macOS: sudo ifconfig lo0 alias ${address} up`;
  }
  return `cannot listen on ${place}: ${error.message}`;
}
