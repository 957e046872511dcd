/** Buckets for each doubling: what is told is at most a fifth above what was seen. */
const BUCKETS_PER_DOUBLING = 4;
/** Up to 2^24, beyond any context. */
const BUCKETS = 24 * BUCKETS_PER_DOUBLING + 1;
/** What older observations weigh after each new one: about the last two hundred count. */
const KEPT = 0.995;
/** Weight of what is believed before anything was seen. */
const FIRST_WEIGHT = 5;
/** Weights are made small again from here on, long before doubles lose digits. */
const MAX_WEIGHT = 1e12;

/** An upper quantile of whole numbers ≥ 1, of which the latest weigh most. Some 800 bytes, however many were seen. */
export class DecayedQuantile {
  readonly #weights = new Float64Array(BUCKETS);
  #total = FIRST_WEIGHT;
  /** Of the next observation: to let it grow is to let all others shrink. */
  #next = 1;

  /** @param first believed until observations outweigh it */
  constructor(first: number) {
    this.#weights[bucketOf(first)] = FIRST_WEIGHT;
  }

  observe(value: number): void {
    const bucket = bucketOf(value);
    this.#next /= KEPT;
    this.#weights[bucket] = (this.#weights[bucket] ?? 0) + this.#next;
    this.#total += this.#next;
    if (this.#next > MAX_WEIGHT) this.#rescale();
  }

  /** The number that this share of the observations is at most, rounded up to a bucket's bound. */
  quantile(share: number): number {
    let above = this.#total * (1 - share);
    for (let bucket = BUCKETS - 1; bucket > 0; bucket--) {
      above -= this.#weights[bucket] ?? 0;
      if (above < 0) return upperBound(bucket);
    }
    return 1;
  }

  #rescale(): void {
    let total = 0;
    for (const [bucket, weight] of this.#weights.entries()) {
      this.#weights[bucket] = weight / this.#next;
      total += weight / this.#next;
    }
    this.#total = total;
    this.#next = 1;
  }
}

function bucketOf(value: number): number {
  return Math.min(BUCKETS - 1, Math.max(0, Math.ceil(Math.log2(value) * BUCKETS_PER_DOUBLING)));
}

function upperBound(bucket: number): number {
  return Math.floor(2 ** (bucket / BUCKETS_PER_DOUBLING));
}
