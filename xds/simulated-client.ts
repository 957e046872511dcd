import { create, fromBinary } from '@bufbuild/protobuf';
import {
  DeltaDiscoveryRequestSchema,
  type DeltaDiscoveryResponse,
  DeltaDiscoveryResponseSchema,
} from '../proto/gen/envoy/service/discovery/v3/discovery_pb.js';
import { StatusSchema } from '../proto/gen/google/rpc/status_pb.js';
import { DeltaStream } from './delta-stream.ts';
import type { PushOrder } from './push-order.ts';
import type { RefusedResource } from './refused-resources.ts';
import type { Resource, ResourceChange, WithheldResource } from './resource.ts';
import { ResourceStore } from './resource-store.ts';

/** A resource whose body is its version. */
export function resource(typeUrl: string, name: string, version: string): Resource {
  return { typeUrl, name, version, body: Buffer.from(version) };
}

/**
 * A client and its stream without a network, for tests: responses pile up until they are answered by hand. Checks on
 * the way what every response must keep to, whatever the state.
 */
export class SimulatedClient {
  readonly store: ResourceStore;
  readonly #order: PushOrder;
  /** Responses not answered yet, in order of arrival. */
  waiting: DeltaDiscoveryResponse[] = [];
  /** All responses of the current stream. */
  received: DeltaDiscoveryResponse[] = [];
  readonly refused: RefusedResource[] = [];
  /** Version by name by type, as applied. */
  readonly held = new Map<string, Map<string, string>>();
  stream: DeltaStream;

  constructor(order: PushOrder, store = new ResourceStore()) {
    this.store = store;
    this.#order = order;
    this.stream = this.#open();
  }

  /** A client that has subscribed to all of `types`, and has all of `resources`; what it was told so far is forgotten. */
  static settled(order: PushOrder, types: readonly string[], ...resources: readonly Resource[]): SimulatedClient {
    const client = new SimulatedClient(order);
    client.update(resources);
    for (const type of types) client.subscribe(type);
    client.ackAll();
    client.received = [];
    return client;
  }

  /** What the client was told on this stream, one line per response: "Cluster +a +b -c". */
  told(): string[] {
    return this.received.map(({ typeUrl, resources, removedResources }) =>
      [
        typeUrl.slice(typeUrl.indexOf('/') + 1),
        ...resources.map(({ name }) => `+${name}`),
        ...removedResources.map(name => `-${name}`),
      ].join(' '),
    );
  }

  /** Breaks the stream and opens another one, on which nothing is subscribed yet. */
  reconnect(): void {
    this.stream.close();
    this.waiting = [];
    this.received = [];
    this.stream = this.#open();
  }

  update(
    upserts: readonly Resource[],
    removals: ResourceChange['removals'] = [],
    withheld: readonly WithheldResource[] = [],
  ): void {
    const changes = this.store.apply({ systemVersion: 'test', upserts, removals, withheld });
    if (changes.size > 0) this.stream.changed(changes, this.store.sequence);
  }

  /** Names given up, by type: what still arrives of them is not wanted. */
  readonly #left = new Map<string, Set<string>>();

  /** Asks for a type's `names` (none: everything), telling what is held when `resume` is set. */
  subscribe(typeUrl: string, names: readonly string[] = [], resume = false): void {
    for (const name of names) this.#left.get(typeUrl)?.delete(name);
    const held = resume ? Object.fromEntries(this.held.get(typeUrl) ?? []) : {};
    this.#request({ typeUrl, resourceNamesSubscribe: [...names], initialResourceVersions: held });
  }

  unsubscribe(typeUrl: string, names: readonly string[]): void {
    for (const name of names) this.held.get(typeUrl)?.delete(name);
    this.#left.set(typeUrl, new Set([...names, ...(this.#left.get(typeUrl) ?? [])]));
    this.#request({ typeUrl, resourceNamesUnsubscribe: [...names] });
  }

  /** Applies and answers the oldest waiting response of a type; false when there is none. */
  ack(typeUrl: string): boolean {
    const response = this.#take(typeUrl);
    if (response === undefined) return false;
    const held = this.held.get(typeUrl) ?? new Map<string, string>();
    this.held.set(typeUrl, held);
    const wanted = response.resources.filter(({ name }) => !this.#left.get(typeUrl)?.has(name));
    for (const { name, version } of wanted) held.set(name, version);
    for (const name of response.removedResources) held.delete(name);
    this.#request({ typeUrl, responseNonce: response.nonce });
    return true;
  }

  /** Refuses the oldest waiting response of a type, all of it. */
  nack(typeUrl: string, message: string): void {
    const response = this.#take(typeUrl);
    if (response === undefined) throw new Error(`nothing to refuse of ${typeUrl}`);
    this.#request({ typeUrl, responseNonce: response.nonce, errorDetail: create(StatusSchema, { message }) });
  }

  /** Answers everything until nothing comes any more. */
  ackAll(): void {
    for (let next = this.waiting[0]; next !== undefined; next = this.waiting[0]) this.ack(next.typeUrl);
  }

  #request(
    request: Omit<Parameters<typeof create<typeof DeltaDiscoveryRequestSchema>>[1] & object, '$typeName'>,
  ): void {
    this.stream.receive(create(DeltaDiscoveryRequestSchema, { node: { id: 'sim' }, ...request }));
  }

  #take(typeUrl: string): DeltaDiscoveryResponse | undefined {
    const at = this.waiting.findIndex(response => response.typeUrl === typeUrl);
    return at < 0 ? undefined : this.waiting.splice(at, 1)[0];
  }

  #open(): DeltaStream {
    return new DeltaStream(this.store, this.#order, {
      write: bytes => this.#receive(fromBinary(DeltaDiscoveryResponseSchema, bytes)),
      refused: resources => this.refused.push(...resources),
    });
  }

  #receive(response: DeltaDiscoveryResponse): void {
    const { typeUrl } = response;
    if (this.waiting.some(other => other.typeUrl === typeUrl)) throw new Error(`two responses of ${typeUrl} in flight`);
    const names = [...response.resources.map(({ name }) => name), ...response.removedResources];
    if (new Set(names).size < names.length) throw new Error(`a response repeats a name: ${names}`);
    for (const name of response.removedResources) {
      const withheld = this.store.withheld(typeUrl).get(name);
      if (withheld && withheld.version === undefined) throw new Error(`a response removes ${name}, which is withheld`);
    }
    this.waiting.push(response);
    this.received.push(response);
  }
}
