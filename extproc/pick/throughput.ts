import type { EndpointLoad } from '../endpoint-load/endpoint-load.ts';
import { lowest, lowestPerCapacity } from './lowest.ts';
import type { Pool } from './pool.ts';
import type { Members } from './priority-group.ts';
import type { Random } from './random.ts';
import type { PickFacts, Strategy } from './strategy.ts';

/**
 * `throughput`: fewest tokens, prompt and generated, processed within the window or reserved for requests in flight,
 * ÷ capacity. Evens out work where answers differ in length, which counts of requests do not.
 */
export class ThroughputStrategy implements Strategy {
  readonly #load: EndpointLoad;
  readonly #random: Random;

  constructor(load: EndpointLoad, random: Random) {
    this.#load = load;
    this.#random = random;
  }

  first(pool: Pool, _facts: PickFacts, nowMs: number): number {
    return lowestPerCapacity(pool, this.#load.tokenCounts(nowMs), this.#random);
  }

  /** By the scores of `first`: nothing has changed since. */
  next(pool: Pool): number {
    return lowest(pool, this.#random);
  }

  score(members: Members, ordinal: number, nowMs: number): number {
    return (this.#load.tokenCounts(nowMs)[members.slots[ordinal] ?? -1] ?? 0) / (members.capacities[ordinal] ?? 1);
  }
}
