import type { BackendEntry, ModelEntry } from '../models/model-index.ts';

/** The endpoints among which one strategy decides: struct of arrays by ordinal, fixed until the table changes. */
export interface Members {
  /** Names the same choice in every version of the table: what a strategy remembers is kept under it. */
  readonly key: string;
  readonly backends: readonly BackendEntry[];
  readonly slots: Int32Array;
  /** What the endpoint's backend calls it. */
  readonly names: readonly string[];
  /** Position of the endpoint's backend in `backends`. */
  readonly backendOf: Int32Array;
  /** Relative speed, above 0. */
  readonly capacities: Float64Array;
  /** Whether all capacities are equal. */
  readonly even: boolean;
}

/**
 * The backends of one priority. Where they have weights, first a backend is drawn by weight, then a strategy decides
 * among its endpoints: one `Members` a backend. Where they have none, it decides among all at once: one `Members`.
 */
export interface PriorityGroup {
  readonly priority: number;
  readonly members: readonly Members[];
  /** A share for each of `members`, above 0. */
  readonly weights: readonly number[] | undefined;
  /** Backends of weight 0: they get nothing, not even as a last resort. */
  readonly withoutShare: readonly BackendEntry[];
}

/** A model's priority groups, the one to use first in front. */
export function priorityGroups(entry: ModelEntry): readonly PriorityGroup[] {
  const byPriority = Map.groupBy(entry.backends, backend => backend.config.priority);
  return [...byPriority]
    .sort(([a], [b]) => a - b)
    .map(([priority, backends]) => priorityGroup(`${entry.key}/${priority}`, priority, backends));
}

/** Weights count when every backend of the priority has one; the resource's validation refuses a mixture. */
function priorityGroup(key: string, priority: number, backends: readonly BackendEntry[]): PriorityGroup {
  if (backends.some(backend => backend.config.weight === undefined)) {
    return { priority, members: [membersOf(key, backends)], weights: undefined, withoutShare: [] };
  }
  const shared = backends.filter(backend => weightOf(backend) > 0);
  return {
    priority,
    members: shared.map(backend => membersOf(`${key}/${backend.config.name}`, [backend])),
    weights: shared.map(weightOf),
    withoutShare: backends.filter(backend => weightOf(backend) === 0),
  };
}

function membersOf(key: string, backends: readonly BackendEntry[]): Members {
  const slots = Int32Array.from(backends.flatMap(backend => backend.slots));
  const names = backends.flatMap(backend => backend.names);
  const backendOf = Int32Array.from(backends.flatMap((backend, index) => backend.slots.map(() => index)));
  const capacities = Float64Array.from(backendOf, index => capacityOf(backends[index]));
  const even = capacities.every(capacity => capacity === capacities[0]);
  return { key, backends, slots, names, backendOf, capacities, even };
}

/** 1 where none is set: an absent number is 0 on the wire. */
function capacityOf(backend: BackendEntry | undefined): number {
  const capacity = backend?.config.capacity ?? 0;
  return capacity > 0 && Number.isFinite(capacity) ? capacity : 1;
}

function weightOf(backend: BackendEntry): number {
  return backend.config.weight ?? 0;
}
