import type { Count, Moment } from './count.ts';

/** Counts kept at most; beyond, the one made first is forgotten, and starts afresh. Some 200 MB of callers who seldom call. */
const MAX_COUNTS = 500_000;

/** A sweep looks at each count once in so many calls. */
const SWEEP_CALLS = 30;

/** Counts by the key of their counter, in bounded memory. */
export class CountMap<C extends Count> {
  readonly #byKey = new Map<string, C>();
  /** Where the sweep is; a Map's iterator goes on through any change. */
  #sweep = this.#byKey.entries();

  find(key: string): C | undefined {
    return this.#byKey.get(key);
  }

  /** Of a key that has none. */
  place(key: string, count: C): void {
    if (this.#byKey.size >= MAX_COUNTS) {
      for (const oldest of this.#byKey.keys()) {
        this.#byKey.delete(oldest);
        break;
      }
    }
    this.#byKey.set(key, count);
  }

  entries(): Iterable<readonly [string, C]> {
    return this.#byKey;
  }

  get size(): number {
    return this.#byKey.size;
  }

  /** Forgets idle counts, some at each call. */
  sweep(now: Moment): void {
    for (let left = Math.ceil(this.#byKey.size / SWEEP_CALLS); left > 0; left--) {
      const next = this.#sweep.next();
      if (next.done) {
        this.#sweep = this.#byKey.entries();
        return;
      }
      const [key, count] = next.value;
      if (count.isIdle(now)) this.#byKey.delete(key);
    }
  }
}
