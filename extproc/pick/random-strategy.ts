import { draw } from './draw.ts';
import type { Pool } from './pool.ts';
import type { Random } from './random.ts';
import type { Strategy } from './strategy.ts';

/** `random`: each endpoint with a chance in proportion to its capacity, whatever went before. */
export class RandomStrategy implements Strategy {
  readonly #random: Random;

  constructor(random: Random) {
    this.#random = random;
  }

  first(pool: Pool): number {
    return draw(pool, this.#random);
  }

  next(pool: Pool): number {
    return draw(pool, this.#random);
  }

  score(): undefined {
    return undefined;
  }
}
