import { reconnectMaxMs, reconnectMinMs } from './limits.ts';

/** Milliseconds to wait before attempt number `failures` + 1: doubling, and spread so that clients do not come together. */
export function reconnectDelayMs(failures: number, random: () => number): number {
  const ceilingMs = Math.min(reconnectMaxMs, reconnectMinMs * 2 ** failures);
  return reconnectMinMs + random() * (ceilingMs - reconnectMinMs);
}
