import { retryDelayMs } from '../../api/retry-delay.ts';

/** How the objects are listed next time, and how often in a row something went wrong. */
export interface Course {
  /** As the beginning of a watch; in pages; in one piece, when pages came too slowly. */
  readonly list: 'streamed' | 'paged' | 'whole';
  readonly failures: number;
}

/** How a list or a watch ended. `livedMs`: how long a watch went on after it knew all, milliseconds; 0 for a list. */
export type Outcome =
  /** A list is whole; the watch is to begin. */
  | { readonly kind: 'listed' }
  /** The API server ended the watch, as it was told to after a time. */
  | { readonly kind: 'ended'; readonly livedMs: number }
  /** The API server does not stream lists. */
  | { readonly kind: 'refused'; readonly reason: string }
  /** There is no going on from the version that was known. */
  | { readonly kind: 'expired'; readonly reason: string; readonly livedMs: number }
  | {
      readonly kind: 'failed';
      /** As an HTTP status; 0 when the connection failed. */
      readonly code: number;
      readonly reason: string;
      readonly livedMs: number;
      readonly retryAfterMs?: number;
    };

/** What to do after an outcome: wait, then list or watch. */
export interface NextStep {
  readonly course: Course;
  readonly delayMs: number;
  /** Whether the version that was known is of no use any more. */
  readonly relist: boolean;
}

export const FIRST_COURSE: Course = { list: 'streamed', failures: 0 };

/** An operator that is back soon after the API server is worth a request in 10 s. */
const BACKOFF = { firstMs: 200, maxMs: 10_000 };
/** A watch that went on for this long shows that all is well, milliseconds. */
const HEALTHY_MS = 5_000;
/** A watch that an API server ends before it went on for this long was not ended because its time was over, milliseconds. */
const ORDERLY_MS = 1_000;

/** `random` is uniform in [0, 1): it keeps many watches that failed together from coming back together. */
export function nextStep(course: Course, outcome: Outcome, random: number): NextStep {
  switch (outcome.kind) {
    case 'listed':
      return {
        course: { ...course, list: course.list === 'whole' ? 'paged' : course.list },
        delayMs: 0,
        relist: false,
      };
    case 'refused':
      return { course: { ...course, list: 'paged' }, delayMs: 0, relist: true };
    case 'ended':
      // Whatever refused to stream a list may be over: one more refusal, at the next list, costs little.
      if (outcome.livedMs >= HEALTHY_MS) return { course: FIRST_COURSE, delayMs: 0, relist: false };
      if (outcome.livedMs >= ORDERLY_MS) return { course, delayMs: 0, relist: false };
      return delayed({ ...course, failures: course.failures + 1 }, random);
    case 'failed':
      return delayed({ ...course, failures: failuresAfter(course, outcome) }, random, outcome.retryAfterMs);
    case 'expired': {
      const list = course.list === 'paged' && outcome.livedMs === 0 ? 'whole' : course.list;
      return { ...delayed({ list, failures: failuresAfter(course, outcome) }, random), relist: true };
    }
  }
}

function failuresAfter({ failures }: Course, { livedMs }: { readonly livedMs: number }): number {
  return livedMs >= HEALTHY_MS ? 1 : failures + 1;
}

function delayed(course: Course, random: number, atLeastMs = 0): NextStep {
  return { course, delayMs: retryDelayMs(BACKOFF, course.failures, random, atLeastMs), relist: false };
}
