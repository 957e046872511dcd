import type { EndpointLoad } from '../endpoint-load/endpoint-load.ts';
import { lowest, lowestPerCapacity } from './lowest.ts';
import type { Pool } from './pool.ts';
import type { Members } from './priority-group.ts';
import type { Random } from './random.ts';
import type { Strategy } from './strategy.ts';

/** `least-request`: fewest requests in flight ÷ capacity, by our own counts, which the pick before this one changed. */
export class LeastRequestStrategy implements Strategy {
  readonly #load: EndpointLoad;
  readonly #random: Random;

  constructor(load: EndpointLoad, random: Random) {
    this.#load = load;
    this.#random = random;
  }

  first(pool: Pool): number {
    return lowestPerCapacity(pool, this.#load.inFlightCounts(), this.#random);
  }

  /** By the scores of `first`: nothing has changed since. */
  next(pool: Pool): number {
    return lowest(pool, this.#random);
  }

  score(members: Members, ordinal: number): number {
    return this.#load.inFlight(members.slots[ordinal] ?? -1) / (members.capacities[ordinal] ?? 1);
  }
}
