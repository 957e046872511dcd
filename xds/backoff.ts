import { declinedMaxMs, reconnectMaxMs, reconnectMinMs } from './limits.ts';

/** Milliseconds to wait before attempt number `failures` + 1: doubling, and spread so that clients do not come together. */
export function reconnectDelayMs(failures: number, random: () => number): number {
  const ceilingMs = Math.min(reconnectMaxMs, reconnectMinMs * 2 ** failures);
  return reconnectMinMs + random() * (ceilingMs - reconnectMinMs);
}

/** As `reconnectDelayMs`, after a server declined `times` in a row: as long at first, in the end 10 to 30 seconds. */
export function declinedDelayMs(times: number, random: () => number): number {
  const ceilingMs = Math.min(declinedMaxMs, reconnectMaxMs * 2 ** (times - 1));
  return (ceilingMs / 3) * (1 + 2 * random());
}
