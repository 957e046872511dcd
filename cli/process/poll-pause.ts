/** As soon as something was heard that may be about to end. */
const QUICK_MS = 100;
const SLOW_MS = 1_000;
/** A pause is this share of the time for which nothing new was heard… */
const STEADY_SHARE = 1 / 10;
/** … and this many times as long as the answer took: who is asked has other work. */
const ANSWERS = 10;

/** What is known when the next question is due. */
export interface LastAnswer {
  /** It was awaited this long. */
  readonly tookMs: number;
  /** For as long nothing new was heard. */
  readonly steadyMs: number;
}

/**
 * Until somebody is asked again that we wait for: 0.1 s to 1 s, the longer the longer nothing changed, and longer where
 * answers cost more than 0.1 s, so that they never fill more than a tenth of the time.
 */
export function pollPauseMs({ tookMs, steadyMs }: LastAnswer): number {
  return Math.max(tookMs * ANSWERS, Math.min(Math.max(steadyMs * STEADY_SHARE, QUICK_MS), SLOW_MS));
}
