import type { Count, Moment } from './count.ts';

/** Counts kept at most; beyond, one that was not used for longest is forgotten, and starts afresh. Some 40 MB of callers who seldom call. */
const MAX_COUNTS = 100_000;
/** A count that is used is brought forward once in so many new ones at most: what is used all the time costs nothing. */
const FORWARD_AFTER = MAX_COUNTS / 20;

/** A sweep looks at each count once in so many calls. */
const SWEEP_CALLS = 30;

interface Entry<C> {
  readonly count: C;
  /** How many had been placed when it was brought forward last. */
  placed: number;
}

/** Counts by the key of their counter, in bounded memory. */
export class CountMap<C extends Count> {
  /** Those that were not used for longest come first. */
  readonly #byKey = new Map<string, Entry<C>>();
  /** All before it are gone: a new one each time would look for the first behind all that were deleted. */
  #oldest: Iterator<string> | undefined;
  #placed = 0;
  /** Where the sweep is; a Map's iterator goes on through any change. */
  #sweep = this.#byKey.entries();

  find(key: string): C | undefined {
    const entry = this.#byKey.get(key);
    if (entry === undefined) return undefined;
    if (this.#placed - entry.placed > FORWARD_AFTER) {
      entry.placed = this.#placed;
      this.#byKey.delete(key);
      this.#byKey.set(key, entry);
    }
    return entry.count;
  }

  /** Of a key that has none. */
  place(key: string, count: C): void {
    if (this.#byKey.size >= MAX_COUNTS) {
      this.#oldest ??= this.#byKey.keys();
      this.#byKey.delete(this.#oldest.next().value ?? '');
    }
    this.#byKey.set(key, { count, placed: ++this.#placed });
  }

  *entries(): Iterable<readonly [string, C]> {
    for (const [key, { count }] of this.#byKey) yield [key, count];
  }

  get size(): number {
    return this.#byKey.size;
  }

  /** Forgets idle counts, some at each call. */
  sweep(now: Moment): void {
    // An iterator that does not go on keeps what the map was when it was made.
    this.#oldest = undefined;
    for (let left = Math.ceil(this.#byKey.size / SWEEP_CALLS); left > 0; left--) {
      const next = this.#sweep.next();
      if (next.done) {
        this.#sweep = this.#byKey.entries();
        return;
      }
      const [key, { count }] = next.value;
      if (count.isIdle(now)) this.#byKey.delete(key);
    }
  }
}
