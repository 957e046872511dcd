/** How waits grow. */
interface Backoff {
  /** Before jitter, milliseconds; doubled by each further failure. */
  readonly firstMs: number;
  readonly maxMs: number;
}

/**
 * How long to wait after so many failures in a row, milliseconds: between half and all of what the back-off says, so
 * that many who failed together do not come back together, and not less than the server asked for. `random` is uniform
 * in [0, 1).
 */
export function retryDelayMs({ firstMs, maxMs }: Backoff, failures: number, random: number, atLeastMs = 0): number {
  const fullMs = Math.min(maxMs, firstMs * 2 ** (failures - 1));
  return Math.max(atLeastMs, fullMs * (0.5 + random / 2));
}
