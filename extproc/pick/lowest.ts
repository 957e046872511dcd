import type { Column } from '../endpoint-load/column.ts';
import type { Pool } from './pool.ts';
import type { Random } from './random.ts';

/** Scores every member with its count ÷ capacity. Returns the position of the lowest. */
export function lowestPerCapacity(pool: Pool, counts: Column, random: Random): number {
  const { ordinals, scores, size } = pool;
  const { slots, capacities } = pool.members;
  for (let position = 0; position < size; position++) {
    const ordinal = ordinals[position] ?? -1;
    scores[position] = (counts[slots[ordinal] ?? -1] ?? 0) / (capacities[ordinal] ?? 1);
  }
  return lowest(pool, random);
}

/**
 * The position with the lowest of `pool.scores`. Ties are broken by lot in proportion to capacity: an idle fleet is one
 * great tie, in which a fixed order would heat the first pod and an even one would load slow pods like fast ones.
 */
export function lowest(pool: Pool, random: Random): number {
  const { ordinals, scores, size } = pool;
  const { capacities } = pool.members;
  let least = Number.POSITIVE_INFINITY;
  let tied = 0;
  for (let position = 0; position < size; position++) {
    const score = scores[position] ?? 0;
    if (score > least) continue;
    if (score < least) tied = 0;
    least = score;
    tied += capacities[ordinals[position] ?? 0] ?? 0;
  }
  let left = random() * tied;
  let chosen = 0;
  for (let position = 0; position < size; position++) {
    if (scores[position] !== least) continue;
    chosen = position;
    left -= capacities[ordinals[position] ?? 0] ?? 0;
    if (left < 0) break;
  }
  return chosen;
}
