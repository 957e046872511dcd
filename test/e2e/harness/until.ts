import { setTimeout as delay } from 'node:timers/promises';

const POLL_MS = 10;
/** Ten times what anything takes on an idle machine: two busy cores start an Envoy or an API server late. */
const TIMEOUT_MS = 45_000;

/**
 * Resolves with what `read` gives as soon as that is neither undefined nor false.
 * @throws Error naming `what` when that has not happened after `timeoutMs`
 */
export async function until<Value>(
  what: string,
  read: () => Value | undefined | false | Promise<Value | undefined | false>,
  timeoutMs = TIMEOUT_MS,
): Promise<Value> {
  const deadlineMs = performance.now() + timeoutMs;
  for (;;) {
    const value = await read();
    if (value !== undefined && value !== false) return value;
    if (performance.now() > deadlineMs) throw new Error(`waited ${timeoutMs} ms in vain: ${what}`);
    await delay(POLL_MS);
  }
}
