import { connect, createServer, type Server, type Socket } from 'node:net';

/** Stands between a client and a server on loopback, and lets a test do to their connections what networks do. */
export class TcpProxy {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #frozen = false;
  #cutAfterBytes: number | undefined;
  #delayMs = 0;

  private constructor(targetPort: number) {
    this.#server = createServer(client => this.#join(client, connect(targetPort, '127.0.0.1')));
  }

  static async start(targetPort: number): Promise<TcpProxy> {
    const proxy = new TcpProxy(targetPort);
    await new Promise<void>(resolve => proxy.#server.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  get port(): number {
    const address = this.#server.address();
    if (address === null || typeof address === 'string') throw new Error('the proxy does not listen');
    return address.port;
  }

  /** Ends every connection there is; new ones are welcome. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Ends every connection there is once the server has sent so many more bytes, in the middle of whatever they are. */
  cutAfter(bytes: number): void {
    this.#cutAfterBytes = bytes;
  }

  /** Connections stay open and new ones are taken, but nothing gets through, not even their end. */
  freeze(): void {
    this.#frozen = true;
  }

  /** New connections work again; those that lost something never will. */
  thaw(): void {
    this.#frozen = false;
  }

  /** What passes is as late as this from now on, milliseconds; what comes after it waits. */
  slow(delayMs: number): void {
    this.#delayMs = delayMs;
  }

  stop(): void {
    this.#server.close();
    this.cut();
  }

  #join(client: Socket, server: Socket): void {
    this.#pass(client, server, () => {});
    this.#pass(server, client, chunk => this.#count(chunk.length));
  }

  #pass(from: Socket, to: Socket, seen: (chunk: Buffer) => void): void {
    let lost = false;
    this.#sockets.add(from);
    from.on('data', (chunk: Buffer) => {
      lost ||= this.#frozen;
      if (lost) return;
      if (this.#delayMs === 0) {
        to.write(chunk);
        seen(chunk);
        return;
      }
      from.pause();
      setTimeout(() => {
        to.write(chunk);
        seen(chunk);
        from.resume();
      }, this.#delayMs);
    });
    from.on('error', () => {});
    from.on('close', () => {
      this.#sockets.delete(from);
      if (!lost && !this.#frozen) to.destroy();
    });
  }

  #count(bytes: number): void {
    if (this.#cutAfterBytes === undefined) return;
    this.#cutAfterBytes -= bytes;
    if (this.#cutAfterBytes > 0) return;
    this.#cutAfterBytes = undefined;
    this.cut();
  }
}
