import type { LimitStoreSettings, ValkeySettings } from '../../agent/table/limit-store-settings.ts';
import { OnStoreFailure } from '../../proto/gen/fairlead/v1/table_pb.js';
import { GuardedStore, type OnStoreFailure as Policy } from './guarded-store.ts';
import type { LimitStore } from './limit-store.ts';
import { AgentCount } from './local-share.ts';
import { MemoryStore } from './memory-store.ts';
import { MissingStore } from './missing-store.ts';
import { StoreUnavailable, ValkeyConnection } from './valkey-connection.ts';
import { ValkeyStore } from './valkey-store.ts';

/** What was counted of a shared store since the start, over all that were in use. */
interface StoreCounts {
  readonly failures: number;
  readonly withoutStore: number;
  /** Settlements and amounts that it never heard of, as it was away for too long. */
  readonly dropped: number;
}

interface StoreInUseOptions {
  /** Milliseconds since the epoch. */
  readonly epochMs: () => number;
  /** Milliseconds of a clock that never goes back. */
  readonly nowMs: () => number;
  /** Hears why the shared store fails, and undefined when it does not any more. */
  readonly onChange: (failure: string | undefined) => void;
}

interface Shared {
  readonly guarded: GuardedStore;
  readonly store: MissingStore | ValkeyStore;
}

/** What was reserved in a store that is not in use any more is settled there: longer than nearly all answers take, milliseconds. */
const CLOSE_AFTER_MS = 900_000;

const POLICIES: Readonly<Record<OnStoreFailure, Policy>> = {
  [OnStoreFailure.UNSPECIFIED]: 'local',
  [OnStoreFailure.LOCAL]: 'local',
  [OnStoreFailure.DENY]: 'deny',
  [OnStoreFailure.ALLOW]: 'allow',
};

/** The store that the table asks for: the memory of this process, or a Valkey with that memory behind it. */
export class StoreInUse {
  /** This agent's own counts. */
  readonly local: MemoryStore;
  readonly #options: StoreInUseOptions;
  readonly #agents = new AgentCount();
  #shared: Shared | undefined;
  /** Not in use any more, each until it is closed by its timer. */
  readonly #retired = new Map<Shared, NodeJS.Timeout>();
  /** Of stores that are closed. */
  #before: StoreCounts = { failures: 0, withoutStore: 0, dropped: 0 };

  constructor(options: StoreInUseOptions) {
    const { epochMs, nowMs } = options;
    this.#options = options;
    this.local = new MemoryStore({ nowMs: epochMs, agents: () => this.#agents.at(nowMs()) });
  }

  get current(): LimitStore {
    return this.#shared?.guarded ?? this.local;
  }

  /** Whether the store is shared with other agents. */
  get isShared(): boolean {
    return this.#shared !== undefined;
  }

  /** Why the shared store cannot be asked now; undefined while it can, and where there is none. */
  get failure(): string | undefined {
    return this.#shared?.guarded.failure;
  }

  get counts(): StoreCounts {
    let sum = this.#before;
    for (const shared of this.#all()) sum = withCountsOf(shared, sum);
    return sum;
  }

  /** So many agents share what is limited. */
  tellAgents(agents: number): void {
    this.#agents.tell(agents, this.#options.nowMs());
  }

  /** Follows the table from now on. What is reserved by then is settled where it was reserved. */
  follow({ valkey, onFailure, timeoutMs }: LimitStoreSettings): void {
    const last = this.#shared;
    const store =
      valkey &&
      ('missing' in valkey
        ? new MissingStore(new StoreUnavailable(valkey.missing, { mayHaveRun: false }))
        : connect(valkey));
    last?.store.replaceBy(store);
    this.#shared = undefined;
    if (last !== undefined) this.#retire(last);
    if (store === undefined) return this.#options.onChange(undefined);
    const { local } = this;
    // One that is being replaced does not speak for the one in use.
    const onChange = (failure: string | undefined) => {
      if (this.#shared?.store === store) this.#options.onChange(failure);
    };
    const policy = POLICIES[onFailure] ?? 'local';
    this.#shared = {
      guarded: new GuardedStore({ shared: store, local, onFailure: policy, timeoutMs, onChange }),
      store,
    };
    this.#options.onChange(undefined);
  }

  /** To be called each second. */
  expire(): void {
    this.local.expire();
  }

  /** Tells each store what is left to tell it, for a moment, and asks none anything more. */
  async close(): Promise<void> {
    for (const timer of this.#retired.values()) clearTimeout(timer);
    this.#shared?.guarded.close();
    await Promise.all(this.#all().map(({ store }) => store.close()));
  }

  #all(): Shared[] {
    return this.#shared === undefined ? [...this.#retired.keys()] : [...this.#retired.keys(), this.#shared];
  }

  #retire(shared: Shared): void {
    shared.guarded.close();
    const timer = setTimeout(async () => {
      await shared.store.close();
      this.#retired.delete(shared);
      this.#before = withCountsOf(shared, this.#before);
    }, CLOSE_AFTER_MS);
    this.#retired.set(shared, timer.unref());
  }
}

function withCountsOf({ guarded, store }: Shared, sum: StoreCounts): StoreCounts {
  return {
    failures: sum.failures + guarded.counts.failures,
    withoutStore: sum.withoutStore + guarded.counts.withoutStore,
    dropped: sum.dropped + store.dropped,
  };
}

function connect({ url, username, password, ca, cluster }: ValkeySettings): ValkeyStore {
  return new ValkeyStore({
    connection: new ValkeyConnection({
      url,
      cluster,
      ...(username !== '' && { username }),
      ...(password !== undefined && { password }),
      ...(ca !== undefined && { ca }),
    }),
  });
}
