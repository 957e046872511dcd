import type { Server } from '@grpc/grpc-js';
import type { Model } from '../proto/gen/fairlead/v1/table_pb.js';
import { type ClientEvent, DeltaServer } from '../xds/delta-server.ts';
import { createGrpcServer, listenGrpc } from '../xds/grpc-listen.ts';
import type { RefusedResource } from '../xds/refused-resources.ts';
import type { Resource, WithheldResource } from '../xds/resource.ts';
import { sequenced } from '../xds/sequenced-order.ts';
import { deriveEnvoy, type EnvoyResources } from './envoy/derive.ts';
import {
  CLUSTER_TYPE,
  ENDPOINT_TYPE,
  encodeResource,
  LISTENER_TYPE,
  type ResourceType,
  ROUTE_TYPE,
  SECRET_TYPE,
} from './envoy/encode.ts';
import { movedListeners } from './envoy/moved-listeners.ts';
import type { EnvoySettings } from './envoy/settings.ts';
import type { RouteTable } from './table/route-table.ts';

/** Secrets first, so that a listener finds its own when it asks; it asks only once it knows of it. */
const TYPES: readonly ResourceType[] = [SECRET_TYPE, CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE, ROUTE_TYPE];

/** For how long an Envoy that is slow to answer holds up the picker; it gets the table all the same. */
const ACKNOWLEDGE_TIMEOUT_MS = 5_000;

/** Envoy says that a listener is closed before all of its threads have closed it, which takes no more than milliseconds. */
const OPEN_ATTEMPTS = 20;

const NONE_MOVED: ReadonlySet<string> = new Set();

/** A table of which some listeners are not open yet. */
interface PartlyOpen {
  readonly version: string;
  readonly resources: readonly Resource[];
  readonly withheld: readonly WithheldResource[];
  readonly listeners: EnvoyResources[typeof LISTENER_TYPE];
  /** Names of those that are not open yet. */
  readonly moved: ReadonlySet<string>;
}

/** Serves this node's Envoy from the route table, by delta ADS on a Unix socket. */
export class EnvoyServer {
  readonly #nodeId: string;
  readonly #settings: EnvoySettings;
  readonly #server: DeltaServer;
  readonly #grpc: Server;
  #sequence = 0;
  /** All that Envoy has open, as far as this agent has told it to. */
  #listeners: EnvoyResources[typeof LISTENER_TYPE] = new Map();
  #partlyOpen: PartlyOpen | undefined;

  constructor(nodeId: string, settings: EnvoySettings, onClient: (event: ClientEvent) => void) {
    this.#nodeId = nodeId;
    this.#settings = settings;
    this.#server = new DeltaServer({
      order: sequenced({
        types: TYPES,
        // A listener that checks tokens looks for the cluster of their keys when it is made.
        awaits: { [LISTENER_TYPE]: [CLUSTER_TYPE], [ROUTE_TYPE]: [CLUSTER_TYPE] },
        // A changed cluster warms only with a new answer about its endpoints (xDS protocol, "Resource warming").
        resendWith: [[CLUSTER_TYPE, ENDPOINT_TYPE]],
        expected: [CLUSTER_TYPE, LISTENER_TYPE, ROUTE_TYPE],
      }),
      onClient,
    });
    this.#grpc = createGrpcServer();
    this.#server.addTo(this.#grpc);
  }

  /** Begins to answer. Only once there is a table: Envoy would take an empty answer for "forget everything". */
  async listen(socketPath: string, signal: AbortSignal): Promise<void> {
    await listenGrpc(this.#grpc, `unix:${socketPath}`, signal);
    signal.addEventListener('abort', () => this.#server.close(), { once: true });
  }

  /** Whether an Envoy is connected. */
  get connected(): boolean {
    return this.#server.clients().length > 0;
  }

  /** Whether the connected Envoy has answered all that it was told: its listeners are open, unless it refused them. */
  get ready(): boolean {
    return this.#server.clients().some(client => client.settledSequence >= this.#sequence);
  }

  /** What the connected Envoy refused and still lacks. */
  get refused(): readonly RefusedResource[] {
    return this.#server.clients().at(-1)?.refused ?? [];
  }

  /**
   * Tells Envoy a table; resolves when it has answered, at once where none is connected (it gets everything before it
   * opens its listeners), and in any case after some seconds. A listener that moves to another address is only closed
   * here; `openMoved` opens it.
   *
   * @param retired models of the past whose timeouts requests may still ask for
   */
  async apply(table: RouteTable, retired: readonly Model[], signal: AbortSignal): Promise<void> {
    const derived = deriveEnvoy(table, this.#settings, retired);
    const listeners = derived[LISTENER_TYPE];
    const told = { version: table.version, resources: encodeAll(derived), withheld: withheldOf(derived) };
    const moved = this.connected ? movedListeners(this.#listeners, listeners) : NONE_MOVED;
    this.#partlyOpen = moved.size === 0 ? undefined : { ...told, listeners, moved };
    if (this.#partlyOpen !== undefined) return this.#close(this.#partlyOpen, signal);
    this.#listeners = listeners;
    this.#tell(told);
    // Without a listener Envoy asks for no routes, so that it would never have answered everything.
    if (listeners.size > 0) await this.#answered(signal);
  }

  /**
   * Opens the listeners that the last table has moved. To be called once whoever picks follows that table: a gateway
   * that begins to ask who calls may then be open to more callers than before.
   */
  async openMoved(signal: AbortSignal): Promise<void> {
    const table = this.#partlyOpen;
    if (table === undefined) return;
    for (let attempt = 1; !signal.aborted; attempt += 1) {
      this.#tell(table);
      await this.#answered(signal);
      const isOpen = !this.refused.some(({ typeUrl, name }) => typeUrl === LISTENER_TYPE && table.moved.has(name));
      if (isOpen || attempt === OPEN_ATTEMPTS) break;
      await this.#close(table, signal);
    }
    this.#listeners = table.listeners;
    this.#partlyOpen = undefined;
  }

  #close(table: PartlyOpen, signal: AbortSignal): Promise<void> {
    const open = ({ typeUrl, name }: Resource) => typeUrl !== LISTENER_TYPE || !table.moved.has(name);
    this.#tell({ ...table, resources: table.resources.filter(open) });
    return this.#answered(signal);
  }

  #tell({ version, resources, withheld }: Pick<PartlyOpen, 'version' | 'resources' | 'withheld'>): void {
    this.#sequence = this.#server.replace(version, resources, withheld);
  }

  async #answered(signal: AbortSignal): Promise<void> {
    if (!this.connected) return;
    const timeout = AbortSignal.any([signal, AbortSignal.timeout(ACKNOWLEDGE_TIMEOUT_MS)]);
    await this.#server.settled(this.#nodeId, this.#sequence, timeout).catch(() => undefined);
  }
}

function encodeAll(derived: EnvoyResources): Resource[] {
  return TYPES.flatMap(typeUrl =>
    [...derived[typeUrl]].map(([name, json]) => {
      const { version, bytes } = encodeResource(typeUrl, name, json);
      return { typeUrl, name, version, body: bytes };
    }),
  );
}

/**
 * An Envoy that outlived an agent may hold a listener and its certificate, of which this agent has not heard yet (they
 * are not on disk): it goes on with them. A listener that reads otherwise than now, without TLS perhaps, does not stay.
 */
function withheldOf({ closed }: EnvoyResources): WithheldResource[] {
  return closed.flatMap(({ name, json, secret }) => [
    { typeUrl: LISTENER_TYPE, name, version: encodeResource(LISTENER_TYPE, name, json).version },
    { typeUrl: SECRET_TYPE, name: secret, version: undefined },
  ]);
}
