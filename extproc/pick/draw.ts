import type { Pool } from './pool.ts';
import type { Random } from './random.ts';

/** The position of a member drawn by lot, in proportion to capacity. */
export function draw(pool: Pool, random: Random): number {
  const { ordinals, size } = pool;
  const { capacities, even } = pool.members;
  if (even) return Math.floor(random() * size);
  let total = 0;
  for (let position = 0; position < size; position++) total += capacities[ordinals[position] ?? 0] ?? 0;
  let left = random() * total;
  for (let position = 0; position < size - 1; position++) {
    left -= capacities[ordinals[position] ?? 0] ?? 0;
    if (left < 0) return position;
  }
  return size - 1;
}
