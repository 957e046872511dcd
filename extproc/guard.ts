import type { Logger } from 'pino';

/** Runs a step of the data thread's work: a mistake of ours in it is logged, and must not cost all others their process. */
export function guard(log: Logger, event: string, step: () => void): void {
  try {
    step();
  } catch (error) {
    log.error({ event, err: error });
  }
}
