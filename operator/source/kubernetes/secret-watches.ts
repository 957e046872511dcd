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
  /** How long one that cannot be read for the moment is waited for, milliseconds. */
  readonly patienceMs?: number;
}

type SecretData = Readonly<Record<string, Uint8Array>>;

interface SecretWatch {
  readonly keys: ReadonlySet<string>;
  readonly replica: Replica<SecretData>;
  /** Why it could not be read the last time, until it is: what trying again soon would not change. */
  failure: 'forbidden' | 'absent' | undefined;
  /** Was waited for long enough. */
  overdue: boolean;
  /** The watch that it takes the place of once it knows more. */
  before: SecretWatch | undefined;
  stop(): void;
}

const FAILURES: ReadonlyMap<number | undefined, SecretWatch['failure']> = new Map([
  [403, 'forbidden'],
  [404, 'absent'],
]);

/** An API server that is busy answers by then; nothing else of what is declared is told for longer, milliseconds. */
const PATIENCE_MS = 30_000;

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
    for (const [key, { stop }] of this.#watches) {
      if (references.has(key)) continue;
      stop();
      this.#watches.delete(key);
    }
    for (const [key, keys] of references) {
      const watch = this.#watches.get(key);
      if (watch === undefined || !keys.isSubsetOf(watch.keys)) this.#watches.set(key, this.#begin(key, keys, watch));
    }
  }

  /** Whether each was read, or cannot be: what a busy API server did not tell yet is not known to be absent. */
  get settled(): boolean {
    return [...this.#watches.values()].every(
      ({ replica, failure, overdue }) => replica.synced || failure !== undefined || overdue,
    );
  }

  /** What is known of some keys of one that is followed; undefined while nothing is. */
  look(key: string, keys: ReadonlySet<string>): SecretContent | undefined {
    let watch = this.#watches.get(key);
    while (watch?.replica.synced === false && watch.before !== undefined) watch = watch.before;
    if (watch?.replica.synced) {
      const data = watch.replica.values.get(key);
      return data === undefined ? { failure: 'not found' } : { data: usedData(data, keys) };
    }
    if (watch?.failure === 'absent') return { failure: 'not found' };
    if (watch?.failure !== 'forbidden') return undefined;
    const [namespace] = key.split('/');
    const need = `verbs list and watch on secrets in namespace ${namespace}`;
    return { failure: `the operator may not read it: give its ServiceAccount a Role with the ${need}` };
  }

  /** Resolves when nothing is left of watches that were stopped. */
  async ended(): Promise<void> {
    await Promise.all(this.#following);
  }

  /** @param replaced goes on until the new watch knows what it knew */
  #begin(key: string, keys: ReadonlySet<string>, replaced: SecretWatch | undefined): SecretWatch {
    const { api, signal, onChange, onEvent, patienceMs = PATIENCE_MS } = this.#options;
    const stopped = new AbortController();
    const replica = new Replica(keepUsed(keys));
    const patience = setTimeout(() => {
      watch.overdue = true;
      onChange();
    }, patienceMs).unref();
    const watch: SecretWatch = {
      ...{ keys, replica, failure: undefined, overdue: false, before: replaced },
      stop: () => {
        clearTimeout(patience);
        stopped.abort();
        watch.before?.stop();
        watch.before = undefined;
      },
    };
    const following = followCollection({
      api,
      collection: secretNamed(key),
      replica,
      signal: AbortSignal.any([signal, stopped.signal]),
      onChange: () => {
        watch.before?.stop();
        watch.before = undefined;
        onChange();
      },
      onEvent: event => {
        onEvent(event);
        if (event.event !== 'source.interrupted') return;
        const failure = FAILURES.get(event.code);
        // That it cannot be asked for the moment makes nothing that was known untrue.
        if (failure === undefined || failure === watch.failure) return;
        watch.failure = failure;
        onChange();
      },
    }).finally(() => {
      clearTimeout(patience);
      this.#following.delete(following);
    });
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
