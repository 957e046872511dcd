import { create } from '@bufbuild/protobuf';
import { type ChannelCredentials, status } from '@grpc/grpc-js';
import type { Node } from '../proto/gen/envoy/config/core/v3/base_pb.js';
import { NodeSchema } from '../proto/gen/envoy/config/core/v3/base_pb.js';
import {
  type DeltaDiscoveryRequest,
  DeltaDiscoveryRequestSchema,
  type DeltaDiscoveryResponse,
} from '../proto/gen/envoy/service/discovery/v3/discovery_pb.js';
import { StatusSchema } from '../proto/gen/google/rpc/status_pb.js';
import { keepStreamOpen } from './reconnecting-stream.ts';
import type { Resource } from './resource.ts';
import { deltaClientMethod } from './wire.ts';

/** One response: changes of one type. */
export interface TypeUpdate {
  readonly typeUrl: string;
  readonly upserts: readonly Resource[];
  readonly removals: readonly string[];
  /** The server's name for its state. */
  readonly systemVersion: string;
}

/** Resources of an update that are not taken, and why; the others are. */
export interface RefusedUpdate {
  readonly names: readonly string[];
  readonly message: string;
}

/** Version by name, by type URL. */
export type HeldVersions = ReadonlyMap<string, ReadonlyMap<string, string>>;

interface DeltaClientOptions {
  /** "unix:/path" or "host:port". */
  readonly address: string;
  /** Asked for every attempt to connect; without it nothing is encrypted. */
  readonly credentials?: (() => ChannelCredentials) | undefined;
  readonly nodeId: string;
  /** Types to subscribe to as a whole, in this order. */
  readonly types: readonly string[];
  /** What is held already, such as from a cache: only differences from it are sent. */
  readonly held?: HeldVersions;
  readonly signal: AbortSignal;
  /** Takes an update at once and says what of it is refused; undefined when nothing is. */
  apply(update: TypeUpdate): RefusedUpdate | undefined;
  /**
   * The stream to the server came up or broke (with the reason), or could not be opened in the first place; a further
   * attempt is told of when it fails for a reason that is new. A peer that vanished silently counts as connected until
   * keep-alives find out.
   */
  onConnection?(connected: boolean, reason: string): void;
}

/** Reasons told of one time without a connection: each attempt may have its own. */
const maxToldReasons = 8;

/** Follows a server's resources by delta ADS until its signal aborts, over any number of reconnections. */
export class DeltaClient {
  readonly #options: DeltaClientOptions;
  readonly #node: Node;
  /** What the server is told to be held: what was applied, not what was refused. */
  readonly #held: ReadonlyMap<string, Map<string, string>>;
  /** Undefined before the first attempt has ended. */
  #connected: boolean | undefined;
  /** Why there is no connection, as far as it was told. */
  readonly #toldReasons = new Set<string>();

  constructor(options: DeltaClientOptions) {
    this.#options = options;
    this.#node = create(NodeSchema, { id: options.nodeId });
    this.#held = new Map(options.types.map(typeUrl => [typeUrl, new Map(options.held?.get(typeUrl))]));
    let send: (request: DeltaDiscoveryRequest) => void;
    keepStreamOpen({
      address: options.address,
      credentials: options.credentials,
      method: deltaClientMethod,
      signal: options.signal,
      opened: write => {
        send = write;
        for (const typeUrl of options.types) send(this.#subscribe(typeUrl));
      },
      received: response => send(this.#answer(response)),
      connected: () => this.#setConnected(true, ''),
      disconnected: reason => this.#setConnected(false, reason),
    });
  }

  #setConnected(connected: boolean, reason: string): void {
    const isNew = !connected && !this.#toldReasons.has(reason) && this.#toldReasons.size < maxToldReasons;
    if (connected === this.#connected && !isNew) return;
    this.#connected = connected;
    if (connected) this.#toldReasons.clear();
    else this.#toldReasons.add(reason);
    this.#options.onConnection?.(connected, reason);
  }

  #subscribe(typeUrl: string): DeltaDiscoveryRequest {
    return create(DeltaDiscoveryRequestSchema, {
      node: this.#node,
      typeUrl,
      resourceNamesSubscribe: ['*'],
      initialResourceVersions: Object.fromEntries(this.#held.get(typeUrl) ?? []),
    });
  }

  #answer(response: DeltaDiscoveryResponse): DeltaDiscoveryRequest {
    const { typeUrl, nonce } = response;
    const upserts: Resource[] = response.resources.map(({ name, version, resource }) => ({
      typeUrl,
      name,
      version,
      body: resource?.value ?? new Uint8Array(),
    }));
    const removals = response.removedResources;
    const refused = this.#apply({ typeUrl, upserts, removals, systemVersion: response.systemVersionInfo });
    const held = this.#held.get(typeUrl);
    for (const name of removals) held?.delete(name);
    for (const { name, version } of upserts) if (!refused?.names.includes(name)) held?.set(name, version);
    return create(DeltaDiscoveryRequestSchema, {
      typeUrl,
      responseNonce: nonce,
      ...(refused && {
        errorDetail: create(StatusSchema, { code: status.INVALID_ARGUMENT, message: refused.message }),
      }),
    });
  }

  /** An update that cannot even be looked at is refused, not fatal: it would come again after every restart. */
  #apply(update: TypeUpdate): RefusedUpdate | undefined {
    try {
      return this.#options.apply(update);
    } catch (error) {
      return { names: update.upserts.map(({ name }) => name), message: String(error) };
    }
  }
}
