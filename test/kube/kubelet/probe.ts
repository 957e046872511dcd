import { setTimeout as delay } from 'node:timers/promises';
import { type HandlerTarget, runHandler } from './handler.ts';
import type { Probe } from './pod-object.ts';

/** A result that a probe settled on, after as many in a row as its threshold says. */
export interface ProbeResult {
  readonly ok: boolean;
  /** Why not. */
  readonly message: string;
}

/** On a busy machine an answer is late that would not be on a node: only who gives none fails. */
const LEAST_TIMEOUT_MS = 10_000;

/**
 * Probes until `signal` is aborted, and tells of each change of the result.
 * @param periodScale factor on the probe's period and initial delay
 */
export async function runProbe(
  probe: Probe,
  target: HandlerTarget,
  periodScale: number,
  signal: AbortSignal,
  onResult: (result: ProbeResult) => void,
): Promise<void> {
  const pause = (seconds: number) => delay(seconds * 1_000 * periodScale, undefined, { signal }).catch(() => undefined);
  let settled: boolean | undefined;
  let last: boolean | undefined;
  let inRow = 0;
  await pause(probe.initialDelaySeconds ?? 0);
  while (!signal.aborted) {
    const timeoutMs = Math.max(probe.timeoutSeconds * 1_000, LEAST_TIMEOUT_MS);
    const limit = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
    const message = await runHandler(probe, target, limit);
    if (signal.aborted) return;
    const ok = message === undefined;
    inRow = ok === last ? inRow + 1 : 1;
    last = ok;
    if (inRow >= (ok ? probe.successThreshold : probe.failureThreshold) && ok !== settled) {
      settled = ok;
      onResult({ ok, message: message ?? '' });
    }
    await pause(probe.periodSeconds);
  }
}
