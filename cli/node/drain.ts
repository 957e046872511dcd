import { type DrainOutcome, type DrainProgress, drainEnvoy } from '../process/envoy-drain.ts';
import { findRunDirectory } from './own-run-directory.ts';

/** Options of `fairlead drain`. */
interface DrainCommandOptions {
  readonly runDir: string;
  readonly timeoutMs: number;
  readonly minAcceptMs: number;
  /** Receives a line that a person can read. */
  readonly say: (line: string) => void;
}

/** Whoever waits hears this often that something still runs. */
const TELL_INTERVAL_MS = 5_000;

/**
 * Drains the Envoy of a run directory: what a pod does before its Envoy is told to end.
 * @returns exit code: 1 when requests were left running, or lost with an Envoy that ended meanwhile
 */
export async function drain({ runDir, timeoutMs, minAcceptMs, say }: DrainCommandOptions): Promise<number> {
  const socketPath = findRunDirectory(runDir).envoyAdminSocket;
  const onProgress = tellNowAndThen(say, minAcceptMs);
  const outcome = await drainEnvoy({ socketPath, timeoutMs, minAcceptMs, onProgress });
  say(inWords(outcome, { socketPath, timeoutMs }));
  return outcome.kind === 'drained' || (outcome.kind === 'gone' && outcome.active === 0) ? 0 : 1;
}

/** At each new step, and then every few seconds. */
function tellNowAndThen(say: (line: string) => void, minAcceptMs: number): (progress: DrainProgress) => void {
  let told: DrainProgress['kind'] | undefined;
  let toldAtMs = 0;
  return progress => {
    const nowMs = performance.now();
    if (progress.kind === told && nowMs - toldAtMs < TELL_INTERVAL_MS) return;
    if (progress.kind === 'accepting' && told === undefined) {
      say(`Not ready any more; connections are accepted for another ${seconds(minAcceptMs)}.`);
    }
    if (progress.kind === 'closed') say(`Closed to new connections; ${requests(progress.active)} running.`);
    told = progress.kind;
    toldAtMs = nowMs;
  };
}

function inWords(outcome: DrainOutcome, { socketPath, timeoutMs }: { socketPath: string; timeoutMs: number }): string {
  switch (outcome.kind) {
    case 'drained':
      return 'Drained: no request is running.';
    case 'timed out':
      return `Not drained within ${seconds(timeoutMs)}: ${requests(outcome.active)} still running.`;
    case 'gone':
      return outcome.active === 0
        ? `No Envoy answers at ${socketPath}: there is nothing to drain.`
        : `Envoy ended while it was drained: ${requests(outcome.active)} lost.`;
  }
}

function seconds(milliseconds: number): string {
  return `${milliseconds / 1000} s`;
}

function requests(count: number): string {
  return count === 1 ? '1 request' : `${count} requests`;
}
