import type { Pool } from './pool.ts';
import type { Members } from './priority-group.ts';

/** What a strategy may know of the request. */
export interface PickFacts {
  /** Estimated tokens of the prompt. */
  readonly promptTokens: number;
  /** Estimated tokens of the answer. */
  readonly outputTokens: number;
}

/**
 * One way to choose among the endpoints of a pool. Strategies answer with positions in
 * it. They never see an endpoint that may not be picked, and hold no state about load: that is EndpointLoad's.
 */
export interface Strategy {
  /** The endpoint for a request; called once for each, so turns are taken here. Precondition: the pool is not empty. */
  first(pool: Pool, facts: PickFacts, nowMs: number): number;
  /** The next best of what is left in the pool, for a retry that mostly never comes: takes no turn. Not empty either. */
  next(pool: Pool, facts: PickFacts, nowMs: number): number;
  /** What a member's place is decided by, lower first; undefined where the strategy does not compare. */
  score(members: Members, ordinal: number, nowMs: number): number | undefined;
}
