import { type Column, grown } from './column.ts';

const BUCKET_MS = 5_000;
const BUCKET_COUNT = 12;
/** Tokens processed longer ago are forgotten. The oldest bucket leaves whole, so each counts for 55 to 60 seconds. */
export const WINDOW_MS = BUCKET_MS * BUCKET_COUNT;

/**
 * Tokens by row: those reserved, and those processed within the last minute.
 *
 * The window is a ring of 12 buckets of 5 seconds. All rows share its time: once in 5 seconds the first to ask takes
 * the bucket that left off every total, which is O(1) for a row and bucket; in between a total is one read.
 * Counts are whole numbers, so that what was added can be taken off again without a rest.
 */
export class TokenCounts {
  /** Processed tokens by bucket, then by row. */
  readonly #buckets: Float64Array[];
  #reserved: Float64Array;
  /** Reserved and processed within the window. */
  #totals: Float64Array;
  /** When the newest bucket ends: a multiple of `BUCKET_MS`. */
  #endMs = 0;

  constructor(rows: number) {
    this.#buckets = Array.from({ length: BUCKET_COUNT }, () => new Float64Array(rows));
    this.#reserved = new Float64Array(rows);
    this.#totals = new Float64Array(rows);
  }

  grow(rows: number): void {
    for (const [index, bucket] of this.#buckets.entries()) this.#buckets[index] = grown(bucket, rows);
    this.#reserved = grown(this.#reserved, rows);
    this.#totals = grown(this.#totals, rows);
  }

  /** Forgets what was processed. Precondition: nothing is reserved. */
  clear(row: number): void {
    for (const bucket of this.#buckets) bucket[row] = 0;
    this.#totals[row] = 0;
  }

  /** Reserves, or with a negative number gives back. */
  reserve(row: number, tokens: number): void {
    const reserved = (this.#reserved[row] ?? 0) + tokens;
    if (reserved < 0) throw new Error(`endpoint-load: slot ${row} would have ${reserved} tokens reserved`);
    this.#reserved[row] = reserved;
    this.#totals[row] = (this.#totals[row] ?? 0) + tokens;
  }

  process(row: number, tokens: number, nowMs: number): void {
    if (nowMs >= this.#endMs) this.#advance(nowMs);
    const bucket = this.#bucketEnding(this.#endMs);
    bucket[row] = (bucket[row] ?? 0) + tokens;
    this.#totals[row] = (this.#totals[row] ?? 0) + tokens;
  }

  reserved(row: number): number {
    return this.#reserved[row] ?? 0;
  }

  /** Reserved and processed within the window. */
  totals(nowMs: number): Column {
    if (nowMs >= this.#endMs) this.#advance(nowMs);
    return this.#totals;
  }

  /** Takes off what has left the window. Times before the newest bucket count as within it. */
  #advance(nowMs: number): void {
    const endMs = (Math.floor(nowMs / BUCKET_MS) + 1) * BUCKET_MS;
    const firstMs = Math.max(this.#endMs, endMs - WINDOW_MS) + BUCKET_MS;
    for (let passedMs = firstMs; passedMs <= endMs; passedMs += BUCKET_MS) {
      const bucket = this.#bucketEnding(passedMs);
      for (let row = 0; row < bucket.length; row++) this.#totals[row] = (this.#totals[row] ?? 0) - (bucket[row] ?? 0);
      bucket.fill(0);
    }
    this.#endMs = endMs;
  }

  #bucketEnding(endMs: number): Float64Array {
    const bucket = this.#buckets[(endMs / BUCKET_MS) % BUCKET_COUNT];
    if (bucket === undefined) throw new Error(`endpoint-load: no bucket ends at ${endMs} ms`);
    return bucket;
  }
}
