import type { DeltaDiscoveryRequest } from '../proto/gen/envoy/service/discovery/v3/discovery_pb.js';
import { responseTargetBytes } from './limits.ts';
import type { ResourceStore } from './resource-store.ts';
import { Subscription } from './subscription.ts';

/** Sequence numbers of the oldest updates of which a client has not answered something; Infinity where there is none. */
export interface Oldest {
  /** The client may lack, or have another version of, some resource since this update; 0: since ever. */
  readonly upsert: number;
  /** Some resource that the client has is gone since this update. */
  readonly removal: number;
  /** Any of the changes to a name, also one that a later change made void. */
  readonly change: number;
}

/** What the push order allows a response to carry now. */
export interface Permit {
  /** `sequence`: the update that brought the resource's version, which may refer to anything up to it. */
  upsert(sequence: number): boolean;
  /** `sequence`: the update that removed the resource. */
  removal(sequence: number): boolean;
}

/** The content of one response. */
export interface Batch {
  readonly upserts: readonly string[];
  readonly removals: readonly string[];
  readonly elements: readonly Uint8Array[];
  /** Of the changes in it. */
  readonly oldest: Oldest;
}

interface Draft extends Batch {
  readonly upserts: string[];
  readonly removals: string[];
  readonly elements: Uint8Array[];
  readonly oldest: { upsert: number; removal: number; change: number };
  bytes: number;
}

/** What is to be said of an unsent name: it has a new version, it is gone, it never was (only when asked), or nothing. */
type Saying = 'upsert' | 'removal' | 'missing' | 'nothing';

/** When a name changed that the client is not told of yet. */
interface Unsent {
  /** First update that the client lacks of it; 0 where it has told nothing, or too little, to know. */
  readonly since: number;
  /** Last update that touched it. */
  readonly last: number;
}

const NEVER = Number.POSITIVE_INFINITY;
const NOTHING: Oldest = { upsert: NEVER, removal: NEVER, change: NEVER };

interface InFlight {
  readonly nonce: string;
  readonly batch: Batch;
}

/** One type on one client's stream: what the client wants, what it has, and what it is yet to be told. */
export class TypeState {
  readonly typeUrl: string;
  readonly #store: ResourceStore;
  readonly #subscription = new Subscription();
  /** Version by name of what the client has: sent to it, or named by it on resume. A refused version counts as sent. */
  readonly #known = new Map<string, string>();
  /** Names that may differ from what the client has. */
  readonly #unsent = new Map<string, Unsent>();
  /** Of `#unsent`: names that are answered even if the client has the same version. */
  readonly #forced = new Set<string>();
  /** Names to be sent again should the client subscribe to them: see `resend`. */
  readonly #resendLater = new Set<string>();
  /** A wildcard just begun is answered even with nothing: Envoy waits for it before it goes on. */
  #owesAnswer = false;
  #inFlight: InFlight | undefined;

  constructor(typeUrl: string, store: ResourceStore) {
    this.typeUrl = typeUrl;
    this.#store = store;
  }

  get subscribed(): boolean {
    return this.#subscription.started;
  }

  /** No response waits for its ACK: "one in flight per type". */
  get idle(): boolean {
    return this.#inFlight === undefined;
  }

  /** Something is still to be told, now or when the order allows it. */
  get hasUnsent(): boolean {
    return this.#unsent.size > 0;
  }

  /** Takes the subscription part of a request. */
  subscribe(request: DeltaDiscoveryRequest): void {
    const resumed = request.initialResourceVersions;
    for (const name of Object.keys(resumed)) this.#known.set(name, resumed[name] as string);
    const change = this.#subscription.change(request.resourceNamesSubscribe, request.resourceNamesUnsubscribe);
    if (change.everything) this.#look([...this.#known.keys(), ...this.#store.resources(this.typeUrl).keys()]);
    if (change.everything) this.#owesAnswer = true;
    this.#look(change.asked);
    // What the client says to hold already is answered by a difference only.
    for (const name of change.asked) if (!Object.hasOwn(resumed, name)) this.#forced.add(name);
    for (const name of this.#resendLater) if (this.#subscription.covers(name)) this.resend(name, this.#store.sequence);
    for (const name of change.left) this.#forget(name);
    if (change.wildcardEnded) {
      for (const name of [...this.#known.keys(), ...this.#unsent.keys()]) {
        if (!this.#subscription.covers(name)) this.#forget(name);
      }
    }
  }

  /** The store's `names` changed with update `sequence`. */
  changed(names: Iterable<string>, sequence: number): void {
    for (const name of names) if (this.#subscription.covers(name)) this.#note(name, sequence, sequence);
  }

  /** Sends `name` again, although it did not change since `sequence`, now or once the client subscribes to it. */
  resend(name: string, sequence: number): void {
    if (!this.#subscription.covers(name)) {
      this.#resendLater.add(name);
      return;
    }
    this.#resendLater.delete(name);
    if (this.#store.get(this.typeUrl, name) === undefined && !this.#subscription.names(name)) return;
    this.#note(name, sequence, sequence);
    this.#forced.add(name);
  }

  /** The response with `nonce` is answered; undefined when that is not the one in flight. */
  settle(nonce: string): Batch | undefined {
    const inFlight = this.#inFlight;
    if (inFlight?.nonce !== nonce) return undefined;
    this.#inFlight = undefined;
    return inFlight.batch;
  }

  /** The oldest changes that are unsent or not answered. */
  oldest(): Oldest {
    const oldest = { ...(this.#inFlight?.batch.oldest ?? NOTHING) };
    for (const [name, unsent] of this.#unsent) this.#age(oldest, this.#classify(name), unsent);
    return oldest;
  }

  /** Takes out of the unsent what `permit` allows, at most one response's worth; undefined when there is nothing to say. */
  take(nonce: string, permit: Permit): Batch | undefined {
    const batch: Draft = {
      upserts: [],
      removals: [],
      elements: [],
      bytes: 0,
      oldest: { ...NOTHING },
    };
    for (const [name, unsent] of this.#unsent) {
      if (batch.bytes >= responseTargetBytes) break;
      if (!this.#tell(name, unsent, permit, batch)) continue;
      this.#unsent.delete(name);
      this.#forced.delete(name);
    }
    const answers = this.#owesAnswer && (batch.upserts.length > 0 || !this.hasUnsent);
    if (batch.upserts.length + batch.removals.length === 0 && !answers) return undefined;
    if (answers) this.#owesAnswer = false;
    this.#inFlight = { nonce, batch };
    return batch;
  }

  /** Puts what is to be said of `name` into `batch`; false when it may not be said yet. */
  #tell(name: string, unsent: Unsent, permit: Permit, batch: Draft): boolean {
    const kind = this.#classify(name);
    const stored = this.#store.get(this.typeUrl, name);
    if (kind === 'nothing') return true;
    if (kind === 'removal' && !permit.removal(unsent.last)) return false;
    if (stored !== undefined && !permit.upsert(stored.sequence)) return false;
    this.#age(batch.oldest, kind, unsent);
    if (stored === undefined) {
      batch.removals.push(name);
      this.#known.delete(name);
    } else {
      batch.upserts.push(name);
      batch.elements.push(stored.element);
      batch.bytes += stored.element.length;
      this.#known.set(name, stored.version);
    }
    return true;
  }

  #age(oldest: Draft['oldest'], kind: Saying, { since, last }: Unsent): void {
    if (kind === 'nothing') return;
    oldest.change = Math.min(oldest.change, since);
    if (kind === 'upsert') oldest.upsert = Math.min(oldest.upsert, since);
    if (kind === 'removal') oldest.removal = Math.min(oldest.removal, last);
  }

  #classify(name: string): Saying {
    const stored = this.#store.get(this.typeUrl, name);
    const known = this.#known.get(name);
    const forced = this.#forced.has(name);
    if (stored !== undefined) return forced || stored.version !== known ? 'upsert' : 'nothing';
    if (this.#store.withholds(this.typeUrl, name, known)) return 'nothing';
    if (known !== undefined) return 'removal';
    return forced ? 'missing' : 'nothing';
  }

  /** The client may have had `names` wrong since ever. */
  #look(names: readonly string[]): void {
    for (const name of names) this.#note(name, 0, this.#store.sequence);
  }

  #note(name: string, since: number, last: number): void {
    const before = this.#unsent.get(name);
    this.#unsent.set(name, {
      since: Math.min(since, before?.since ?? since),
      last: Math.max(last, before?.last ?? last),
    });
  }

  #forget(name: string): void {
    this.#known.delete(name);
    this.#unsent.delete(name);
    this.#forced.delete(name);
  }
}
