import type { Pool } from './pool.ts';
import type { Members } from './priority-group.ts';
import type { Random } from './random.ts';
import { Remembered } from './remembered.ts';
import type { Strategy } from './strategy.ts';

interface Rotation {
  readonly members: Members;
  /** By ordinal: what each has saved up. */
  readonly credit: Float64Array;
  /** Where among equals it starts: pods would otherwise all get the first request of every model that they serve. */
  readonly start: number;
}

/**
 * `round-robin`: smooth weighted round robin, as nginx has it (src/http/ngx_http_upstream_round_robin.c). At each pick
 * everybody is credited its capacity, the richest is chosen and pays what all got. Over a cycle of ∑capacity picks each
 * gets exactly its share, spread as evenly as can be. Those that may not be picked are neither credited nor charged.
 */
export class RoundRobinStrategy implements Strategy {
  readonly #rotations: Remembered<Rotation>;

  constructor(random: Random) {
    this.#rotations = new Remembered<Rotation>(
      members => ({
        members,
        credit: new Float64Array(members.slots.length),
        start: Math.floor(random() * members.slots.length),
      }),
      adapt,
    );
  }

  first(pool: Pool): number {
    const { credit, start } = this.#rotations.for(pool.members);
    const { ordinals, size } = pool;
    const { capacities } = pool.members;
    const chosen = richest(pool, credit, start);
    let total = 0;
    for (let position = 0; position < size; position++) {
      const ordinal = ordinals[position] ?? 0;
      const capacity = capacities[ordinal] ?? 0;
      credit[ordinal] = (credit[ordinal] ?? 0) + capacity;
      total += capacity;
    }
    const ordinal = ordinals[chosen] ?? 0;
    credit[ordinal] = (credit[ordinal] ?? 0) - total;
    return chosen;
  }

  /** The one that would be chosen next. */
  next(pool: Pool): number {
    const { credit, start } = this.#rotations.for(pool.members);
    return richest(pool, credit, start);
  }

  score(): undefined {
    return undefined;
  }
}

/** Those that stay keep their credit; new ones begin with none. */
function adapt(rotation: Rotation, members: Members): Rotation {
  const creditOf = new Map<number, number>();
  for (const [ordinal, slot] of rotation.members.slots.entries()) creditOf.set(slot, rotation.credit[ordinal] ?? 0);
  const credit = Float64Array.from(members.slots, slot => creditOf.get(slot) ?? 0);
  return { members, credit, start: rotation.start };
}

/** The position of who has most, once everybody is credited. */
function richest(pool: Pool, credit: Float64Array, start: number): number {
  const { ordinals, size } = pool;
  const { capacities } = pool.members;
  let position = start % size;
  let chosen = position;
  let most = Number.NEGATIVE_INFINITY;
  for (let step = 0; step < size; step++) {
    const ordinal = ordinals[position] ?? 0;
    const credited = (credit[ordinal] ?? 0) + (capacities[ordinal] ?? 0);
    if (credited > most) {
      most = credited;
      chosen = position;
    }
    position = position + 1 === size ? 0 : position + 1;
  }
  return chosen;
}
