import type { LimitDescription } from './limit-rules.ts';
import type { CounterState } from './limit-store.ts';
import type { UnitName } from './limit-text.ts';

/** What a caller is told of his limits: as headers, and as Envoy's dynamic metadata, which has other names. */
export interface RateLimitFacts {
  readonly headers: Readonly<Record<string, string>>;
  /** For `EXCHANGE_NAMESPACE`: rl_limit_requests, rl_remaining_requests, rl_reset_requests, and so for tokens. */
  readonly metadata: Readonly<Record<string, string>>;
}

type Kind = 'requests' | 'tokens';

const KINDS: ReadonlyMap<UnitName | 'budget', Kind> = new Map([
  ['requests', 'requests'],
  ['tokens', 'tokens'],
  ['input_tokens', 'tokens'],
  ['output_tokens', 'tokens'],
]);
const NO_FACTS: RateLimitFacts = Object.freeze({ headers: Object.freeze({}), metadata: Object.freeze({}) });
const SECOND_MS = 1_000;

/**
 * Where the caller stands with the tightest of his limits on requests, and of those on tokens: the one that has least
 * left. Shadow limits are not told. https://platform.openai.com/docs/guides/rate-limits#rate-limits-in-headers
 *
 * @param states parallel to the limits; a store that did not answer has none
 */
export function rateLimitFacts(states: readonly CounterState[], limits: readonly LimitDescription[]): RateLimitFacts {
  const requests = tightest('requests', states, limits);
  const tokens = tightest('tokens', states, limits);
  if (requests === undefined && tokens === undefined) return NO_FACTS;
  const facts = { headers: {}, metadata: {} };
  if (requests !== undefined) tell(facts, 'requests', requests);
  if (tokens !== undefined) tell(facts, 'tokens', tokens);
  return facts;
}

function tightest(
  kind: Kind,
  states: readonly CounterState[],
  limits: readonly LimitDescription[],
): CounterState | undefined {
  let found: CounterState | undefined;
  for (const [i, { unit, shadow }] of limits.entries()) {
    const state = states[i];
    if (state === undefined || shadow || KINDS.get(unit) !== kind) continue;
    if (found === undefined || left(state) < left(found)) found = state;
  }
  return found;
}

function left({ used, limit }: CounterState): number {
  return Math.max(0, limit - used);
}

function tell(
  { headers, metadata }: { headers: Record<string, string>; metadata: Record<string, string> },
  kind: Kind,
  state: CounterState,
): void {
  const values = { limit: String(state.limit), remaining: String(left(state)), reset: durationText(state.resetMs) };
  for (const [name, value] of Object.entries(values)) {
    headers[`x-ratelimit-${name}-${kind}`] = value;
    metadata[`rl_${name}_${kind}`] = value;
  }
}

/** As OpenAI writes it: "12ms", "1s", "6m0s", "24h0m0s"; from one second on in whole seconds, rounded up. */
export function durationText(ms: number): string {
  if (ms <= 0) return '0s';
  if (ms < SECOND_MS) return `${Math.ceil(ms)}ms`;
  const seconds = Math.ceil(ms / SECOND_MS);
  const minutes = Math.floor(seconds / 60);
  const hours = Math.floor(minutes / 60);
  if (hours > 0) return `${hours}h${minutes % 60}m${seconds % 60}s`;
  return minutes > 0 ? `${minutes}m${seconds % 60}s` : `${seconds}s`;
}
