import { randomBytes } from 'node:crypto';

/** Uniform numbers in [0, 1). */
export type Random = () => number;

/**
 * mulberry32: 32 bits of state, a period of 2^32, a few nanoseconds a number. Equal seeds give equal sequences, so a
 * test or a simulation can be run again. Not for secrets.
 */
export function mulberry32(seed: number): Random {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A seed that no other process has: gateways that start together must not choose alike. */
export function processSeed(): number {
  return randomBytes(4).readInt32LE(0);
}
