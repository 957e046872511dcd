import type { ApiConnection } from '../../api/api-connection.ts';
import type { SecretContent } from '../cluster-state.ts';
import { type SecretReferences, usedData } from '../secret-references.ts';
import type { Collection } from './api-object.ts';
import { followCollection, type ListWatchEvent } from './list-watch.ts';
import { type Keep, Replica } from './replica.ts';

interface SecretWatchesOptions {
  readonly api: ApiConnection;
  /** Ends all watches. */
  readonly signal: AbortSignal;
  /** Something that `look` shows is different. */
  readonly onChange: () => void;
  readonly onEvent: (event: ListWatchEvent) => void;
}

type SecretData = Readonly<Record<string, Uint8Array>>;

interface SecretWatch {
  readonly keys: ReadonlySet<string>;
  readonly replica: Replica<SecretData>;
  /** Why it could not be read the last time, until it is. */
  failure: { readonly forbidden: boolean } | undefined;
  stop(): void;
}

const FORBIDDEN = 403;

/**
 * Watches single Secrets by their name, for as long as something refers to them. Nobody else's are asked for, so that
 * the operator needs no more than it uses; of those, only the keys that are used are kept.
 */
export class SecretWatches {
  readonly #options: SecretWatchesOptions;
  readonly #watches = new Map<string, SecretWatch>();
  readonly #following = new Set<Promise<void>>();

  constructor(options: SecretWatchesOptions) {
    this.#options = options;
  }

  /** Follows exactly these from now on. */
  follow(references: SecretReferences): void {
    for (const [key, { keys, stop }] of this.#watches) {
      const wanted = references.get(key);
      if (wanted?.symmetricDifference(keys).size === 0) continue;
      stop();
      this.#watches.delete(key);
    }
    for (const [key, keys] of references) if (!this.#watches.has(key)) this.#watches.set(key, this.#begin(key, keys));
  }

  /** Whether each was read, or could not be. */
  get settled(): boolean {
    return [...this.#watches.values()].every(({ replica, failure }) => replica.synced || failure !== undefined);
  }

  /** What is known of one that is followed; undefined while nothing is. */
  look(key: string): SecretContent | undefined {
    const watch = this.#watches.get(key);
    if (watch?.replica.synced) {
      const data = watch.replica.values.get(key);
      return data === undefined ? { failure: 'not found' } : { data };
    }
    if (!watch?.failure?.forbidden) return undefined;
    const [namespace] = key.split('/');
    const need = `verbs list and watch on secrets in namespace ${namespace}`;
    return { failure: `the operator may not read it: give its ServiceAccount a Role with the ${need}` };
  }

  /** Resolves when nothing is left of watches that were stopped. */
  async ended(): Promise<void> {
    await Promise.all(this.#following);
  }

  #begin(key: string, keys: ReadonlySet<string>): SecretWatch {
    const { api, signal, onChange, onEvent } = this.#options;
    const stopped = new AbortController();
    const replica = new Replica(keepUsed(keys));
    const watch: SecretWatch = { keys, replica, failure: undefined, stop: () => stopped.abort() };
    const following = followCollection({
      api,
      collection: secretNamed(key),
      replica,
      signal: AbortSignal.any([signal, stopped.signal]),
      onChange,
      onEvent: event => {
        onEvent(event);
        if (event.event !== 'source.interrupted') return;
        const forbidden = event.code === FORBIDDEN;
        const changed = watch.failure?.forbidden !== forbidden;
        watch.failure = { forbidden };
        if (changed) onChange();
      },
    }).finally(() => this.#following.delete(following));
    this.#following.add(following);
    return watch;
  }
}

/** A collection of one: what RBAC lets pass with `resourceNames`, too. */
function secretNamed(key: string): Collection {
  const [namespace = '', name = ''] = key.split('/');
  return { groupVersion: '/api/v1', plural: 'secrets', namespace, fieldSelector: `metadata.name=${name}` };
}

function keepUsed(keys: ReadonlySet<string>): Keep<SecretData> {
  return ({ data }) => {
    const encoded = Object.entries(usedData(data ?? {}, keys));
    return Object.fromEntries(encoded.map(([key, base64]) => [key, new Uint8Array(Buffer.from(base64, 'base64'))]));
  };
}
