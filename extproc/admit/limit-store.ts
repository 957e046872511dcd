/** For how long what is charged to a counter stays used. */
export type Window =
  /**
   * Slides: `periodMs` is counted in 60 buckets. The current bucket counts and the 60 before it, so that in no window of
   * the period, wherever it starts, is more reserved than the limit; what is used is free again after the period and at
   * most 1/60 of it.
   */
  | { readonly kind: 'sliding'; readonly periodMs: number }
  /**
   * Day or month of a calendar, in milliseconds since the epoch. The key of its counter names it: who asks says by that
   * what period it is, and whoever's clock is behind finds it for an hour after `endMs`. Then nothing of it is used.
   */
  | { readonly kind: 'calendar'; readonly startMs: number; readonly endMs: number }
  /** Used until it is released: concurrency. */
  | { readonly kind: 'held' };

/** What a limit is counted by. */
export interface Counter {
  /** Of this counter alone, and of this window: a limit whose period changes has another key. */
  readonly key: string;
  /** Infinity: only counted. 0: nothing passes, not even an amount of 0. */
  readonly limit: number;
  readonly window: Window;
  /** Counted and told, never refused. */
  readonly shadow: boolean;
}

export interface Charge {
  readonly counter: Counter;
  /** An integer, 0 or more. */
  readonly amount: number;
}

export interface CounterState {
  /** Above the limit where there is debt, or where the counter is a shadow. */
  readonly used: number;
  /** The one in force, which is a share of the counter's where a store is not shared with other agents. */
  readonly limit: number;
  /** Milliseconds until nothing of it is used any more, or its date; 0 when nothing is, or when nobody knows (held). */
  readonly resetMs: number;
}

export type Verdict =
  | {
      readonly admitted: true;
      /** After the reservation, parallel to the charges; none where nobody counted. */
      readonly states: readonly CounterState[];
      /** This agent decided without the store that it shares: nobody knows what others have used. */
      readonly isAlone?: true;
    }
  | {
      readonly admitted: false;
      readonly isAlone?: true;
      /** Indices of the charges that did not pass, ascending; never those of shadow counters. */
      readonly refusedBy: readonly number[];
      /**
       * Milliseconds until this same request would pass if nothing else happened. Undefined: never, as it asks for more
       * than the limit, or nobody knows, as it waits for what others hold.
       */
      readonly retryAfterMs: number | undefined;
      /** As they were, since nothing is reserved; parallel to the charges; none where nobody counted. */
      readonly states: readonly CounterState[];
      /** No charge refused (`refusedBy` is empty): the store cannot be asked, and then nothing is to pass. */
      readonly unavailable?: true;
    };

/**
 * Counts what callers use, and never lets more be reserved than the limits allow. A charge passes when what is used and
 * its amount are together at most the limit. No counter goes beyond 9e15: what is more is not counted.
 *
 * The charges of one call have different keys. An `id` names one reservation and is never used again. `release` and
 * `settle` get the charges that were reserved, in the same order; they fail silently, and what a reservation that is
 * neither settled nor renewed comes to is the store's own to say.
 */
export interface LimitStore {
  /** Reserves all charges or none, atomically. Shadow counters and infinite limits never refuse, yet count. */
  reserve(id: string, charges: readonly Charge[]): Verdict | Promise<Verdict>;
  /** Gives back what a reservation holds (concurrency), at once; the rest waits for `settle`. */
  release(id: string, charges: readonly Charge[]): void;
  /**
   * Puts the real amounts, parallel to the charges, in place of the reserved ones, once: a second call changes nothing.
   * What is more than was reserved becomes debt in the window of now, which may lift a counter above its limit; what is
   * less is given back to where it was taken from, if that is still counted. Releases too, whatever the amount of a held
   * charge.
   */
  settle(id: string, charges: readonly Charge[], amounts: readonly number[]): void;
  /** Adds without asking (accounting). Nothing is added to a held counter, since nobody would release it. */
  add(charges: readonly Charge[]): void;
  /** As the counters stand now, parallel to them. Rejected where nobody can tell, which changes nothing else. */
  read(counters: readonly Counter[]): readonly CounterState[] | Promise<readonly CounterState[]>;
}
