import { setTimeout as pause } from 'node:timers/promises';
import type { ApiConnection } from '../api/api-connection.ts';
import { type ClusterState, sameState } from './cluster-state.ts';
import { Doorbell } from './doorbell.ts';
import { type ResolveHost, systemResolver } from './host-addresses.ts';
import { Assembly, NamespaceReplicas } from './kubernetes/assembly.ts';
import {
  CONSUMER_COLLECTION,
  GATEWAY_COLLECTION,
  MODEL_COLLECTION,
  type RefusedResource,
} from './kubernetes/declared-object.ts';
import { followCollection, type ListWatchEvent } from './kubernetes/list-watch.ts';
import { POD_COLLECTION } from './kubernetes/pod-facts.ts';
import { ResolvedModels } from './kubernetes/resolved-models.ts';
import { SecretWatches } from './kubernetes/secret-watches.ts';
import { ReferencedSecrets, type SecretReferences, secretReferences } from './secret-references.ts';

/** A change is told this long after its first sign, milliseconds: a rollout changes many pods at once. */
const DEBOUNCE_MS = 10;
/**
 * Between two states, milliseconds: who edits without pause, or rolls thousands of pods, makes twenty tables a second
 * for every gateway, not a hundred.
 */
const INTERVAL_MS = 50;

/** What a cluster holds, and what of it cannot be served. */
export interface ClusterReading {
  readonly state: ClusterState;
  /** Not in the state, with what is wrong with them. In the order of kinds and names. */
  readonly refused: readonly RefusedResource[];
}

/** What happens between the API server and the source, ready to be logged. */
export type SourceEvent = ListWatchEvent | { readonly event: 'source.state_failed'; readonly reason: string };

interface ClusterWatchOptions {
  readonly api: ApiConnection;
  /** The namespaces that count, at least one; all of them when absent. */
  readonly namespaces?: readonly string[];
  /** Ends the watch. */
  readonly signal: AbortSignal;
  /**
   * Called once everything was listed and after every change that makes a difference, never twice at a time. What it
   * throws is told as an event, the first time to the caller of `watchCluster`.
   */
  readonly onState: (reading: ClusterReading) => void;
  readonly onEvent?: (event: SourceEvent) => void;
  /** How host names become addresses; by the machine's own resolver when absent. */
  readonly resolveHost?: ResolveHost;
}

/** A watch that has begun. */
export interface ClusterWatch {
  /** Done when the signal was aborted and nothing of the watch is left. */
  readonly ended: Promise<void>;
}

/**
 * Watches the ModelDeployments, InferenceGateways, Consumers and pods of a cluster, and the Secrets that they refer to.
 * Done when the first state was told, however long the API server lets wait for it; the watch goes on until `signal` is
 * aborted, also while the API server is away.
 */
export async function watchCluster(options: ClusterWatchOptions): Promise<ClusterWatch> {
  const first = Promise.withResolvers<void>();
  const ended = follow(options, first.resolve);
  await Promise.race([first.promise, ended]);
  return { ended };
}

async function follow(options: ClusterWatchOptions, begun: () => void): Promise<void> {
  const { api, namespaces, onState, onEvent = () => {}, resolveHost = systemResolver } = options;
  // What is left of the watch ends with the loop, also when that ends by an error.
  const stop = new AbortController();
  const signal = AbortSignal.any([options.signal, stop.signal]);
  const bell = new Doorbell();
  const ring = () => bell.ring();
  const scopes = (namespaces ?? [undefined]).map(namespace => ({ namespace, replicas: new NamespaceReplicas() }));
  const common = { api, signal, onChange: ring, onEvent };
  const secrets = new SecretWatches(common);
  const reader = new ClusterReader(
    scopes.map(({ replicas }) => replicas),
    secrets,
    resolveHost,
    ring,
  );
  const following = scopes.flatMap(({ namespace, replicas: { models, gateways, consumers, pods } }) => [
    followCollection({ ...common, collection: { ...MODEL_COLLECTION, namespace }, replica: models }),
    followCollection({ ...common, collection: { ...GATEWAY_COLLECTION, namespace }, replica: gateways }),
    followCollection({
      ...common,
      collection: { ...CONSUMER_COLLECTION, namespace },
      replica: consumers,
      optional: true,
    }),
    followCollection({ ...common, collection: { ...POD_COLLECTION, namespace }, replica: pods }),
  ]);
  let last: ClusterReading | undefined;
  let toldMs = Number.NEGATIVE_INFINITY;
  signal.addEventListener('abort', ring);
  try {
    while (!signal.aborted) {
      await bell.wait();
      const waitMs = Math.max(DEBOUNCE_MS, toldMs + INTERVAL_MS - performance.now());
      await pause(waitMs, undefined, { signal }).catch(() => undefined);
      const reading = reader.read();
      if (signal.aborted || reading === undefined || reading === last) continue;
      try {
        onState(reading);
      } catch (error) {
        if (last === undefined) throw error;
        onEvent({ event: 'source.state_failed', reason: error instanceof Error ? error.message : String(error) });
      }
      last = reading;
      toldMs = performance.now();
      begun();
    }
  } finally {
    stop.abort();
    reader.stop();
    await Promise.all([...following, secrets.ended()]);
  }
}

/** Turns replicas into readings, again and again. */
class ClusterReader {
  readonly #namespaces: readonly NamespaceReplicas[];
  readonly #assembly: Assembly;
  readonly #models: ResolvedModels;
  readonly #watches: SecretWatches;
  readonly #secrets = new ReferencedSecrets();
  #references: (Pick<ClusterState, 'gateways' | 'consumers'> & { readonly references: SecretReferences }) | undefined;
  #last: ClusterReading | undefined;

  constructor(
    namespaces: readonly NamespaceReplicas[],
    watches: SecretWatches,
    resolveHost: ResolveHost,
    changed: () => void,
  ) {
    this.#namespaces = namespaces;
    this.#watches = watches;
    this.#assembly = new Assembly(namespaces);
    this.#models = new ResolvedModels(resolveHost, changed);
  }

  /** The same object while nothing changed; undefined until everything was listed. Follows the Secrets that it refers to. */
  read(): ClusterReading | undefined {
    if (!this.#namespaces.every(({ synced }) => synced)) return undefined;
    const { gateways, closed, consumers, pods, refused, modelDeployments } = this.#assembly.read();
    const resolved = this.#models.read(modelDeployments);
    const references = this.#follow({ gateways, consumers });
    if (resolved === undefined) return undefined;
    const referring = this.#watches.settled
      ? {
          gateways,
          closed,
          consumers,
          secrets: this.#secrets.read(references, (key, keys) => this.#watches.look(key, keys)),
        }
      : this.#last?.state;
    // What was only not read yet takes nothing away: neither from an operator that begins, nor a listener's
    // certificate or a caller's key.
    if (referring === undefined) return undefined;
    const state: ClusterState = {
      gateways: referring.gateways,
      closed: referring.closed,
      consumers: referring.consumers,
      secrets: referring.secrets,
      pods,
      ...resolved,
    };
    if (this.#last === undefined || !sameState(this.#last.state, state) || this.#last.refused !== refused) {
      this.#last = { state, refused };
    }
    return this.#last;
  }

  /** The Secrets that these refer to, which are followed from now on. */
  #follow(referring: Pick<ClusterState, 'gateways' | 'consumers'>): SecretReferences {
    const last = this.#references;
    if (last?.gateways === referring.gateways && last.consumers === referring.consumers) return last.references;
    const references = secretReferences(referring);
    this.#references = { ...referring, references };
    this.#watches.follow(references);
    return references;
  }

  stop(): void {
    this.#models.stop();
  }
}
