import { Metadata, type Server, type ServerDuplexStream, status } from '@grpc/grpc-js';
import type { DeltaDiscoveryRequest } from '../proto/gen/envoy/service/discovery/v3/discovery_pb.js';
import { DeltaStream } from './delta-stream.ts';
import { maxStreams } from './limits.ts';
import type { PushOrder } from './push-order.ts';
import type { RefusedResource } from './refused-resources.ts';
import type { Resource, ResourceChange, WithheldResource } from './resource.ts';
import { ResourceStore } from './resource-store.ts';
import { deltaServerMethod } from './wire.ts';

/** A connected client. */
export interface ClientView {
  /** Empty before the first request. */
  readonly nodeId: string;
  /** The last update of which the client has answered everything; -1 while it has not subscribed to all expected types. */
  readonly settledSequence: number;
  /** What it refused and still lacks. */
  readonly refused: readonly RefusedResource[];
}

export type ClientEvent =
  | { readonly kind: 'connected' | 'settled' | 'disconnected'; readonly client: ClientView }
  | { readonly kind: 'refused'; readonly client: ClientView; readonly resources: readonly RefusedResource[] };

interface DeltaServerOptions {
  readonly order: PushOrder;
  /** `connected` comes with the first request, `settled` whenever a client has answered a further update in full. */
  onClient?(event: ClientEvent): void;
}

type Call = ServerDuplexStream<DeltaDiscoveryRequest, Buffer>;

interface Connection {
  readonly call: Call;
  readonly stream: DeltaStream;
  /** What was last told by a `settled` event. */
  told: number;
}

interface Waiter {
  readonly nodeId: string;
  readonly sequence: number;
  resolve(client: ClientView): void;
}

/** Serves resources to any number of clients by delta ADS, and knows what each of them has answered. */
export class DeltaServer {
  readonly #store = new ResourceStore();
  readonly #order: PushOrder;
  readonly #onClient: (event: ClientEvent) => void;
  readonly #connections = new Set<Connection>();
  readonly #waiters = new Set<Waiter>();
  #closed = false;

  constructor(options: DeltaServerOptions) {
    this.#order = options.order;
    this.#onClient = event => options.onClient?.(event);
  }

  /** Adds the ADS service to a gRPC server that is not listening yet; after `close`, clients are served again. */
  addTo(server: Server): void {
    this.#closed = false;
    server.addService(
      { deltaAggregatedResources: deltaServerMethod },
      {
        deltaAggregatedResources: (call: Call) => this.#accept(call),
      },
    );
  }

  /** Number of the last update that changed anything. */
  get sequence(): number {
    return this.#store.sequence;
  }

  /** Connected clients that have said who they are. */
  clients(): readonly ClientView[] {
    return [...this.#connections].filter(({ told }) => told !== UNNAMED).map(view);
  }

  /** Takes an update and sends it to all clients; returns the sequence number to wait for with `settled`. */
  update(change: ResourceChange): number {
    const changes = this.#store.apply(change);
    if (changes.size > 0) {
      for (const connection of this.#connections) {
        connection.stream.changed(changes, this.#store.sequence);
        this.#tell(connection);
      }
    }
    return this.#store.sequence;
  }

  /** As `update`, given everything that there is to be of the declared types. */
  replace(systemVersion: string, resources: readonly Resource[], withheld: readonly WithheldResource[] = []): number {
    const names = new Map<string, Set<string>>(this.#order.types.map(typeUrl => [typeUrl, new Set<string>()]));
    for (const { typeUrl, name } of [...resources, ...withheld]) names.get(typeUrl)?.add(name);
    const removals = this.#order.types.flatMap(typeUrl =>
      [...this.#store.resources(typeUrl).keys(), ...this.#store.withheld(typeUrl).keys()]
        .filter(name => !names.get(typeUrl)?.has(name))
        .map(name => ({ typeUrl, name })),
    );
    return this.update({ systemVersion, upserts: resources, removals, withheld });
  }

  /**
   * Resolves when a client of that node id has answered everything up to update `sequence`; its `refused` says what it
   * did not take. Waits for the client to connect, too. Rejects with the signal's reason.
   */
  settled(nodeId: string, sequence: number, signal: AbortSignal): Promise<ClientView> {
    return new Promise((resolve, reject) => {
      signal.throwIfAborted();
      const abort = () => {
        this.#waiters.delete(waiter);
        reject(signal.reason);
      };
      const waiter: Waiter = {
        nodeId,
        sequence,
        resolve: client => {
          signal.removeEventListener('abort', abort);
          resolve(client);
        },
      };
      signal.addEventListener('abort', abort, { once: true });
      this.#waiters.add(waiter);
      for (const connection of this.#connections) this.#wake(connection);
    });
  }

  /** Ends all streams and refuses new ones; clients are told to try again. */
  close(): void {
    this.#closed = true;
    this.disconnectAll('shutting down');
  }

  /** Ends all streams; clients come back, perhaps to another server. */
  disconnectAll(reason: string): void {
    for (const { call } of this.#connections) end(call, status.UNAVAILABLE, reason);
  }

  #accept(call: Call): void {
    call.on('error', () => {
      // The stream broke; 'close' follows, and the client comes back.
    });
    if (this.#closed || this.#connections.size >= maxStreams) {
      end(call, status.UNAVAILABLE, this.#closed ? 'shutting down' : `more than ${maxStreams} clients`);
      return;
    }
    // Headers at once: an idle stream is otherwise silent, and the client could not tell that it is connected.
    call.sendMetadata(new Metadata());
    const stream = new DeltaStream(this.#store, this.#order, {
      write: response => call.write(response),
      refused: resources => this.#onClient({ kind: 'refused', client: view(connection), resources }),
    });
    const connection: Connection = {
      call,
      stream,
      told: UNNAMED,
    };
    this.#connections.add(connection);
    call.on('data', request => this.#receive(connection, request));
    call.on('end', () => call.end());
    for (const event of ['end', 'cancelled', 'close', 'error']) call.on(event, () => this.#drop(connection));
  }

  #receive(connection: Connection, request: DeltaDiscoveryRequest): void {
    if (!this.#connections.has(connection)) return;
    const { stream, call } = connection;
    if (!stream.receive(request)) {
      end(call, status.RESOURCE_EXHAUSTED, 'too many types');
      return;
    }
    if (connection.told === UNNAMED) {
      connection.told = -1;
      this.#onClient({ kind: 'connected', client: view(connection) });
    }
    this.#tell(connection);
  }

  #drop(connection: Connection): void {
    if (!this.#connections.delete(connection)) return;
    connection.stream.close();
    if (connection.told !== UNNAMED) this.#onClient({ kind: 'disconnected', client: view(connection) });
  }

  /** Tells of what a client has settled since the last time. */
  #tell(connection: Connection): void {
    const { settledSequence } = connection.stream;
    if (settledSequence > connection.told && connection.told !== UNNAMED) {
      connection.told = settledSequence;
      this.#onClient({ kind: 'settled', client: view(connection) });
    }
    this.#wake(connection);
  }

  #wake(connection: Connection): void {
    if (this.#waiters.size === 0) return;
    const client = view(connection);
    for (const waiter of this.#waiters) {
      if (waiter.nodeId !== client.nodeId || waiter.sequence > client.settledSequence) continue;
      this.#waiters.delete(waiter);
      waiter.resolve(client);
    }
  }
}

/** `told` of a connection whose client has not said who it is. */
const UNNAMED = -2;

function view({ stream }: Connection): ClientView {
  const { nodeId, settledSequence, refused } = stream;
  return { nodeId, settledSequence, refused };
}

function end(call: Call, code: status, details: string): void {
  call.emit('error', Object.assign(new Error(details), { code, details }));
}
