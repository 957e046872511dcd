import type { DeltaDiscoveryRequest } from '../proto/gen/envoy/service/discovery/v3/discovery_pb.js';
import { gateTimeoutMs, maxUndeclaredTypes, removalHoldMs } from './limits.ts';
import type { PushOrder, PushStream } from './push-order.ts';
import { type RefusedResource, RefusedResources } from './refused-resources.ts';
import type { ChangedNames, ResourceStore } from './resource-store.ts';
import { type Permit, TypeState } from './type-state.ts';
import { encodeResponse } from './wire.ts';

/** What a stream needs of its surroundings. */
export interface DeltaStreamPort {
  write(response: Buffer): void;
  refused(resources: readonly RefusedResource[]): void;
}

/**
 * The server's side of one client's stream, without the network: requests and store changes in, responses out.
 * Rules: https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol, "Incremental xDS".
 */
export class DeltaStream implements PushStream {
  readonly #store: ResourceStore;
  readonly #order: PushOrder;
  readonly #port: DeltaStreamPort;
  readonly #types: TypeState[];
  readonly #refused = new RefusedResources();
  readonly #held = new Map<TypeState, { tooLong: boolean }>();
  readonly #timers = new Set<NodeJS.Timeout>();
  #settling = true;
  #responses = 0;
  #nodeId = '';

  constructor(store: ResourceStore, order: PushOrder, port: DeltaStreamPort) {
    this.#store = store;
    this.#order = order;
    this.#port = port;
    this.#types = order.types.map(typeUrl => new TypeState(typeUrl, store));
    this.#after(removalHoldMs, () => {
      this.#settling = false;
    });
  }

  /** Who the client says it is; empty before its first request. */
  get nodeId(): string {
    return this.#nodeId;
  }

  get types(): readonly TypeState[] {
    return this.#types;
  }

  get removalsHeld(): boolean {
    return this.#settling && this.#types.some(type => !type.subscribed);
  }

  /** Number of the last update of which the client has answered all that it subscribed to; -1 before it knows its types. */
  get settledSequence(): number {
    if (!this.#order.expected.every(typeUrl => this.#find(typeUrl)?.subscribed)) return -1;
    const oldest = Math.min(...this.#types.map(type => type.oldest().change));
    return Math.min(oldest - 1, this.#store.sequence);
  }

  /** What the client has refused and still lacks. */
  get refused(): readonly RefusedResource[] {
    return this.#refused.list();
  }

  /** Takes a request; false when the client breaks a limit and its stream must end. */
  receive(request: DeltaDiscoveryRequest): boolean {
    // The node may be set on the first message only.
    if (request.node !== undefined) this.#nodeId = request.node.id;
    const type = this.#find(request.typeUrl) ?? this.#undeclared(request.typeUrl);
    if (type === undefined) return false;
    if (request.responseNonce !== '') this.#answered(type, request);
    // "A stale nonce voids the answer, never the subscription changes": so this does not depend on the above.
    if (changesSubscription(type, request)) type.subscribe(request);
    this.#push();
    return true;
  }

  /** The store was updated. */
  changed(changes: ChangedNames, sequence: number): void {
    for (const type of this.#types) {
      const names = changes.get(type.typeUrl);
      if (names !== undefined) type.changed(names, sequence);
    }
    this.#push();
  }

  close(): void {
    for (const timer of this.#timers) clearTimeout(timer);
  }

  send(type: TypeState, permit: Permit): void {
    const nonce = String(this.#responses + 1);
    const batch = type.take(nonce, permit);
    if (batch === undefined) return;
    this.#responses += 1;
    this.#refused.settle(type.typeUrl, batch.removals);
    const { typeUrl } = type;
    const { systemVersion, sequence } = this.#store;
    for (const resent of this.#order.resendWith.get(typeUrl) ?? []) {
      for (const name of batch.upserts) this.#find(resent)?.resend(name, sequence);
    }
    this.#port.write(
      encodeResponse({ typeUrl, nonce, systemVersion, resources: batch.elements, removed: batch.removals }),
    );
  }

  heldTooLong(type: TypeState): boolean {
    return this.#held.get(type)?.tooLong ?? false;
  }

  hold(type: TypeState, held: boolean): void {
    if (!held) {
      this.#held.delete(type);
    } else if (!this.#held.has(type)) {
      const hold = { tooLong: false };
      this.#held.set(type, hold);
      this.#after(gateTimeoutMs, () => {
        hold.tooLong = true;
      });
    }
  }

  /** A server without any state says nothing: to a client that resumes, an empty answer would mean "forget it all". */
  #push(): void {
    if (this.#store.sequence > 0) this.#order.push(this);
  }

  #answered(type: TypeState, request: DeltaDiscoveryRequest): void {
    const batch = type.settle(request.responseNonce);
    if (batch === undefined) return;
    if (request.errorDetail === undefined) {
      this.#refused.settle(type.typeUrl, batch.upserts);
      return;
    }
    const refused = this.#refused.refuse(type.typeUrl, batch.upserts, request.errorDetail.message);
    if (this.#order.resendBlameless) {
      const blamed = new Set(refused.map(({ name }) => name));
      for (const name of batch.upserts) if (!blamed.has(name)) type.resend(name, batch.oldest.upsert);
    }
    this.#port.refused(refused);
  }

  #find(typeUrl: string): TypeState | undefined {
    return this.#types.find(type => type.typeUrl === typeUrl);
  }

  #undeclared(typeUrl: string): TypeState | undefined {
    if (this.#types.length >= this.#order.types.length + maxUndeclaredTypes) return undefined;
    const type = new TypeState(typeUrl, this.#store);
    this.#types.push(type);
    return type;
  }

  #after(delayMs: number, act: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      act();
      this.#push();
    }, delayMs);
    timer.unref();
    this.#timers.add(timer);
  }
}

/** An answer names nothing to subscribe to; but a type's first request names nothing too, and means everything. */
function changesSubscription(type: TypeState, request: DeltaDiscoveryRequest): boolean {
  return !type.subscribed || request.resourceNamesSubscribe.length > 0 || request.resourceNamesUnsubscribe.length > 0;
}
