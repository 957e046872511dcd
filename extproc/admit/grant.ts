import type { BodyFacts } from '../request/body-facts.ts';
import type { Amounts, Charges } from './charges.ts';
import type { Subject } from './limit-rules.ts';
import type { CounterState, LimitStore } from './limit-store.ts';
import type { PricedMedia } from './priced-media.ts';
import { type RateLimitFacts, rateLimitFacts } from './rate-limit-headers.ts';

/** A request that may pass, with all that is reserved for it. */
export interface Grant extends Charges {
  /** Of its reservation; empty where nothing is counted. */
  readonly id: string;
  /** As the store told it after the reservation, parallel to the limits; empty where nobody counted. */
  readonly states: readonly CounterState[];
  /** What is settled when it is over; undefined where nothing is counted. */
  readonly open: OpenGrant | undefined;
}

/** What a grant's settlement needs. */
interface OpenGrant {
  /** That it was reserved in, though another may be in use by now. */
  readonly store: LimitStore;
  readonly subject: Subject;
  readonly reserved: Amounts;
  /** What of the reserved money was in what the store told of the budget. */
  toldNano: number;
  readonly media: PricedMedia;
  readonly bodyBytes: number;
  readonly asked: Pick<BodyFacts, 'answers' | 'maxOutputTokens'>;
  /** Settled or cancelled: whatever comes then changes nothing. */
  closed: boolean;
}

/** For requests that no limit holds for, that cost nothing, and that nobody keeps account of. */
export const FREE_GRANT: Grant = Object.freeze({ id: '', charges: [], limits: [], states: [], open: undefined });

/** What the caller is told of his limits with the answer. */
export function toldOf({ states, limits }: Grant): RateLimitFacts {
  return rateLimitFacts(states, limits);
}

/** One limit that was consulted, for `explain`. */
export interface ConsultedLimit {
  readonly limit: string;
  readonly used: number;
  readonly of: number;
  readonly shadow: boolean;
}

/** Each limit that was consulted, with what is used of it now. A budget counts in 10^-9 of its currency. */
export function consultedLimits({ states, limits }: Grant): readonly ConsultedLimit[] {
  return limits.flatMap(({ text, shadow }, i) => {
    const state = states[i];
    return state === undefined ? [] : [{ limit: text, used: state.used, of: state.limit, shadow }];
  });
}
