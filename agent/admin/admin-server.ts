import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';

/** What an admin page is made from; a page that has nothing to say for its query is a 404. */
export type AdminPage = (query: URLSearchParams) => Promise<AdminAnswer>;

export interface AdminAnswer {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
}

/** An answer for programs. */
export function jsonAnswer(status: number, value: unknown): AdminAnswer {
  return { status, contentType: 'application/json', body: `${JSON.stringify(value)}\n` };
}

/** Where an admin interface listens. */
export interface AdminAddress {
  readonly host: string;
  readonly port: number;
}

/** An address that cannot be had is tried again this often, milliseconds. */
const RETRY_MS = 1_000;

/**
 * The admin interface of a node: metrics, health and explanations, on an address of their own that clients of the
 * gateway do not reach. Follows the gateway's settings: `listen` again moves it.
 */
export class AdminServer {
  readonly #pages: ReadonlyMap<string, AdminPage>;
  readonly #onError: (error: Error) => void;
  #wanted: AdminAddress | undefined;
  #serving: { readonly server: Server; readonly address: AdminAddress } | undefined;
  /** Moves come one after the other. */
  #moved: Promise<void> = Promise.resolve();
  #retry: NodeJS.Timeout | undefined;

  constructor(pages: ReadonlyMap<string, AdminPage>, onError: (error: Error) => void) {
    this.#pages = pages;
    this.#onError = onError;
  }

  /**
   * Listens there, and from then on no longer where it did. An address that cannot be had is reported once, never
   * fatal, and tried again until another one is wanted.
   */
  listen(host: string, port: number): void {
    const to = { host, port };
    if (this.#wanted !== undefined && same(this.#wanted, to)) return;
    clearTimeout(this.#retry);
    this.#wanted = to;
    this.#moveTo(to, this.#onError);
  }

  close(): void {
    clearTimeout(this.#retry);
    this.#wanted = undefined;
    this.#closeServing();
  }

  #moveTo(to: AdminAddress, report: (error: Error) => void): void {
    this.#moved = this.#moved.then(async () => {
      if (this.#wanted !== to || (this.#serving && same(this.#serving.address, to))) return;
      const reason = await this.#move(to);
      if (reason === undefined || this.#wanted !== to) return;
      report(reason);
      this.#retry = setTimeout(() => this.#moveTo(to, () => undefined), RETRY_MS).unref();
    });
  }

  /** Gives why it could not; it goes on where it was then. */
  async #move(to: AdminAddress): Promise<Error | undefined> {
    const before = this.#serving?.address;
    const reason = await this.#open(to);
    if (reason === undefined || before?.port !== to.port) return reason;
    // The port may be taken by ourselves, on another host or on all of them.
    this.#closeServing();
    const stillReason = await this.#open(to);
    if (stillReason !== undefined) await this.#open(before);
    return stillReason;
  }

  /** Serves there instead; gives why it cannot. */
  #open(address: AdminAddress): Promise<Error | undefined> {
    const server = createServer((request, response) => void this.#answer(request, response));
    return new Promise(resolve => {
      server.once('error', resolve);
      server.listen(address.port, address.host, () => {
        server.off('error', resolve);
        server.on('error', error => this.#onError(error));
        this.#closeServing();
        this.#serving = { server, address };
        // Nothing was wanted any more: it was closed meanwhile.
        if (this.#wanted === undefined) this.#closeServing();
        resolve(undefined);
      });
      server.unref();
    });
  }

  #closeServing(): void {
    this.#serving?.server.close();
    this.#serving?.server.closeAllConnections();
    this.#serving = undefined;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const answer = await this.#answerFor(request).catch((error: Error) => {
      this.#onError(error);
      return jsonAnswer(500, { error: error.message });
    });
    response.writeHead(answer.status, { 'content-type': answer.contentType });
    response.end(request.method === 'HEAD' ? undefined : answer.body);
  }

  async #answerFor(request: IncomingMessage): Promise<AdminAnswer> {
    if (request.method !== 'GET' && request.method !== 'HEAD')
      return jsonAnswer(405, { error: 'Only GET is served here.' });
    const url = URL.parse(request.url ?? '/', 'http://admin');
    const page = this.#pages.get(url?.pathname ?? '');
    if (!url || !page)
      return jsonAnswer(404, { error: `No such page. There are: ${[...this.#pages.keys()].join(' ')}` });
    return page(url.searchParams);
  }
}

function same(one: AdminAddress, other: AdminAddress): boolean {
  return one.host === other.host && one.port === other.port;
}
