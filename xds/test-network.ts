import { atomic } from './atomic-order.ts';
import { DeltaClient, type RefusedUpdate, type TypeUpdate } from './delta-client.ts';
import { type ClientEvent, DeltaServer } from './delta-server.ts';
import { createGrpcServer, listenGrpc } from './grpc-listen.ts';

/** Types of the server below; the last completes an update. */
export const A = 't/A';
export const B = 't/B';
export const V = 't/V';

/** A server that can be stopped and started again at the same address, with the same state or a new one. */
export class TestServer {
  readonly address: string;
  readonly events: ClientEvent[] = [];
  ads: DeltaServer;
  #stop: () => Promise<void> = async () => {};

  constructor(address: string) {
    this.address = address;
    this.ads = this.#create();
  }

  #create(): DeltaServer {
    const order = atomic({ types: [A, B], completedBy: V });
    return new DeltaServer({ order, onClient: event => this.events.push(event) });
  }

  async start(): Promise<void> {
    const grpc = createGrpcServer();
    const { ads } = this;
    ads.addTo(grpc);
    const stopped = new AbortController();
    const { closed } = await listenGrpc(grpc, this.address, stopped.signal);
    this.#stop = () => {
      ads.close();
      stopped.abort();
      return closed;
    };
  }

  async stop(): Promise<void> {
    await this.#stop();
    this.ads = this.#create();
  }
}

/** A client that holds what it is given, refuses what says "bad", and counts what was sent. */
export class TestClient {
  readonly held = new Map<string, Map<string, string>>();
  readonly updates: TypeUpdate[] = [];
  connected = false;
  readonly #changed = new Set<() => void>();
  readonly #stopped = new AbortController();

  constructor(address: string, nodeId: string) {
    new DeltaClient({
      address,
      nodeId,
      types: [A, B, V],
      signal: this.#stopped.signal,
      apply: update => this.#apply(update),
      onConnection: connected => {
        this.connected = connected;
        this.#tell();
      },
    });
  }

  stop(): void {
    this.#stopped.abort();
  }

  version(): string | undefined {
    return this.held.get(V)?.get('v');
  }

  state(): Record<string, Record<string, string>> {
    return Object.fromEntries([A, B].map(type => [type, Object.fromEntries(this.held.get(type) ?? [])]));
  }

  /** Resolves as soon as `condition` holds; it can only change with an update or the connection. */
  until(condition: () => boolean): Promise<void> {
    return new Promise(resolve => {
      const check = () => {
        if (!condition()) return;
        this.#changed.delete(check);
        resolve();
      };
      this.#changed.add(check);
      check();
    });
  }

  #apply(update: TypeUpdate): RefusedUpdate | undefined {
    this.updates.push(update);
    const held = this.held.get(update.typeUrl) ?? new Map<string, string>();
    this.held.set(update.typeUrl, held);
    const bad = update.upserts.filter(({ body }) => Buffer.from(body).toString() === 'bad').map(({ name }) => name);
    for (const { name, version } of update.upserts) if (!bad.includes(name)) held.set(name, version);
    for (const name of update.removals) held.delete(name);
    this.#tell();
    return bad.length === 0 ? undefined : { names: bad, message: bad.map(name => `"${name}": bad`).join('; ') };
  }

  #tell(): void {
    for (const check of this.#changed) check();
  }
}
