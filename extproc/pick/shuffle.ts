import type { Pool } from './pool.ts';
import type { Members } from './priority-group.ts';
import type { Random } from './random.ts';
import { Remembered } from './remembered.ts';
import type { Strategy } from './strategy.ts';

/** A permutation of the members. */
interface Cycle {
  readonly members: Members;
  /** Ordinals: those that had their turn in this cycle, then the others in the order of their turns. */
  readonly order: Int32Array;
  /** How many had their turn. */
  taken: number;
}

/**
 * `shuffle`: a random permutation, exhausted before it repeats. In every cycle over an unchanged set each endpoint gets
 * exactly one request, so capacity counts for nothing here; which is next cannot be foretold.
 *
 * An endpoint that may not be picked keeps its turn until the others have had theirs. When the set changes, those that
 * had their turn keep waiting for the next cycle, and new ones join the rest of this one.
 */
export class ShuffleStrategy implements Strategy {
  readonly #random: Random;
  readonly #cycles: Remembered<Cycle>;

  constructor(random: Random) {
    this.#random = random;
    this.#cycles = new Remembered(
      members => this.#begin(members),
      (cycle, members) => this.#adapt(cycle, members),
    );
  }

  first(pool: Pool): number {
    const cycle = this.#cycles.for(pool.members);
    let turn = nextTurn(cycle, pool);
    if (turn < 0) {
      cycle.taken = 0;
      this.#shuffle(cycle.order, 0);
      turn = nextTurn(cycle, pool);
    }
    swap(cycle.order, turn, cycle.taken);
    return pool.positionOf(cycle.order[cycle.taken++] ?? -1);
  }

  /** Whose turn comes next; by lot when this cycle has none of the pool left. */
  next(pool: Pool): number {
    const cycle = this.#cycles.for(pool.members);
    const turn = nextTurn(cycle, pool);
    return turn < 0 ? Math.floor(this.#random() * pool.size) : pool.positionOf(cycle.order[turn] ?? -1);
  }

  score(): undefined {
    return undefined;
  }

  #begin(members: Members): Cycle {
    const order = Int32Array.from(members.slots.keys());
    this.#shuffle(order, 0);
    return { members, order, taken: 0 };
  }

  #adapt(cycle: Cycle, members: Members): Cycle {
    const hadTurn = new Set<number>();
    for (let turn = 0; turn < cycle.taken; turn++) hadTurn.add(cycle.members.slots[cycle.order[turn] ?? 0] ?? -1);
    const ordinals = [...members.slots.keys()];
    const [taken, left] = [
      ordinals.filter(ordinal => hadTurn.has(members.slots[ordinal] ?? -1)),
      ordinals.filter(ordinal => !hadTurn.has(members.slots[ordinal] ?? -1)),
    ];
    const order = Int32Array.from([...taken, ...left]);
    this.#shuffle(order, taken.length);
    return { members, order, taken: taken.length };
  }

  /** Fisher and Yates, from a position on. */
  #shuffle(order: Int32Array, from: number): void {
    for (let last = order.length - 1; last > from; last--) {
      swap(order, last, from + Math.floor(this.#random() * (last - from + 1)));
    }
  }
}

/** The first turn to come that belongs to a member of the pool; -1 when there is none in this cycle. */
function nextTurn(cycle: Cycle, pool: Pool): number {
  for (let turn = cycle.taken; turn < cycle.order.length; turn++) {
    if (pool.positionOf(cycle.order[turn] ?? -1) >= 0) return turn;
  }
  return -1;
}

function swap(order: Int32Array, a: number, b: number): void {
  const ordinal = order[a] ?? 0;
  order[a] = order[b] ?? 0;
  order[b] = ordinal;
}
