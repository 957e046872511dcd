import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/**
 * A pod whose streamed answers end when the test says so: each begins at once, says one word, and then waits. For what
 * must outlast something else, however long that takes.
 */
export class HeldPod {
  readonly #server: Server;
  readonly #held = new Set<ServerResponse>();
  /** Streams that were cut before they were let end. */
  cut = 0;
  /** Streams that ever waited at once. */
  most = 0;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(): Promise<HeldPod> {
    const server = createServer((request, response) => {
      request.resume();
      request.once('end', () => pod.#begin(response));
    });
    const pod = new HeldPod(server);
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
    return pod;
  }

  get endpoint(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Streams that wait for their end. */
  get held(): number {
    return this.#held.size;
  }

  /** Ends all streams that wait as they should end. */
  finish(): void {
    for (const response of this.#held) response.end(`${event({ content: ' end' })}data: [DONE]\n\n`);
    this.#held.clear();
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise(resolve => this.#server.close(resolve));
  }

  #begin(response: ServerResponse): void {
    this.#held.add(response);
    this.most = Math.max(this.most, this.#held.size);
    response.once('close', () => {
      if (this.#held.delete(response)) this.cut++;
    });
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(event({ content: 'begin' }));
  }
}

function event(delta: object): string {
  return `data: ${JSON.stringify({ object: 'chat.completion.chunk', choices: [{ index: 0, delta }] })}\n\n`;
}
