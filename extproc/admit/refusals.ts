import { type Refusal, refuse } from '../../errors/refusal.ts';
import type { Charges } from './charges.ts';
import type { LimitDescription, Subject } from './limit-rules.ts';
import type { Charge, CounterState, Verdict } from './limit-store.ts';
import { countText } from './limit-text.ts';
import { moneyText } from './money.ts';
import { rateLimitFacts } from './rate-limit-headers.ts';
import type { ReservedTokens } from './token-estimate.ts';

type Refused = Extract<Verdict, { admitted: false }>;

/** One limit that did not let the request pass. */
interface Hit {
  readonly limit: LimitDescription;
  readonly charge: Charge;
  readonly state: CounterState;
}

/** A limit of 0 means no access: `model_not_allowed`. */
export function refuseAccess({ unit, text }: LimitDescription, { entry }: Subject): Refusal {
  const what = unit === 'budget' ? 'budget' : 'limit';
  return refuse('model_not_allowed', {
    message: `You have no access to ${entry.model.id}: the ${what} is ${text}.`,
    param: 'model',
  });
}

/** Nobody passes while nobody counts: `gateway_unavailable`. */
export function refuseUncounted(): Refusal {
  return refuse('gateway_unavailable', {
    message: 'The limits store does not answer, and no request passes without it. Try again shortly.',
  });
}

/** Nobody can tell now what is used: `gateway_unavailable`. */
export function refuseUntold(): Refusal {
  return refuse('gateway_unavailable', {
    message: 'The limits store does not tell now what is used. Try again shortly.',
  });
}

/**
 * Why a request did not pass, by the limit that says most: the one that it can never pass, then the budget, then what
 * refuses for as long as is known (rates) or as nobody knows (concurrency).
 */
export function refuseByLimits(verdict: Refused, charged: Charges, subject: Subject, tokens: ReservedTokens): Refusal {
  const hits = verdict.refusedBy.flatMap(i => hitAt(verdict, charged, i));
  const isForNow = verdict.retryAfterMs !== undefined;
  const hit =
    hits.find(isBeyond) ??
    hits.find(({ limit }) => limit.unit === 'budget') ??
    hits.find(({ limit }) => (limit.unit !== 'concurrency') === isForNow) ??
    hits[0];
  if (hit === undefined) return refuseUncounted();
  const retryAfterSeconds = isBeyond(hit) ? undefined : wholeSeconds(verdict.retryAfterMs);
  const details = {
    ...(retryAfterSeconds !== undefined && { retryAfterSeconds }),
    headers: rateLimitFacts(verdict.states, charged.limits).headers,
  };
  switch (hit.limit.unit) {
    case 'budget':
      return refuse('insufficient_quota', { message: spentText(hit), ...details });
    case 'concurrency':
      return refuse('concurrency_exceeded', { message: busyText(hit, subject), ...details });
    default:
      return refuse('rate_limit_exceeded', { message: usedText(hit, subject, tokens, retryAfterSeconds), ...details });
  }
}

function hitAt({ states }: Refused, { charges, limits }: Charges, i: number): readonly Hit[] {
  const [limit, charge, state] = [limits[i], charges[i], states[i]];
  return limit === undefined || charge === undefined || state === undefined ? [] : [{ limit, charge, state }];
}

/** Whether the request alone asks for more than the limit. */
function isBeyond({ charge, state }: Hit): boolean {
  return charge.amount > state.limit;
}

function wholeSeconds(ms: number | undefined): number | undefined {
  return ms === undefined ? undefined : Math.max(1, Math.ceil(ms / 1_000));
}

function spentText(hit: Hit): string {
  const { limit, charge, state } = hit;
  const { window } = charge.counter;
  const spent = `${moneyText(state.used)} of it are spent, and this request may cost ${moneyText(charge.amount)}`;
  const renewal = window.kind === 'calendar' ? `, which is at ${new Date(window.endMs).toISOString()}` : '';
  const advice = isBeyond(hit)
    ? 'Lower max_tokens, or ask for a larger budget.'
    : `Lower max_tokens, ask for a larger budget, or wait until it is renewed${renewal}.`;
  return `The budget is ${limit.text}: ${spent}. ${advice}`;
}

function busyText({ limit, state }: Hit, { entry }: Subject): string {
  const running = state.used === 1 ? 'one is' : `${countText(state.used)} are`;
  return `The limit is ${limit.text}, and ${running} running. ${entry.model.id} can be asked once one of them has ended.`;
}

function usedText(hit: Hit, { entry }: Subject, tokens: ReservedTokens, retryAfterSeconds: number | undefined): string {
  const { limit, charge, state } = hit;
  const model = entry.model.id;
  const asked =
    limit.unit === 'requests'
      ? `this request to ${model} is one more`
      : `this request to ${model} may take ${countText(charge.amount)} (${countText(tokens.input)} of input, ${countText(tokens.output)} of output)`;
  if (isBeyond(hit)) {
    const share = state.limit < limit.limit ? `, of which ${countText(state.limit)} can be used here` : '';
    return `The limit is ${limit.text}${share}, and ${asked}: it can never pass. Lower max_tokens, or send less at once.`;
  }
  const advice =
    retryAfterSeconds === undefined ? 'Try again later.' : `Try again in ${countText(retryAfterSeconds)} s.`;
  return `The limit is ${limit.text}: ${countText(state.used)} of ${countText(state.limit)} are used, and ${asked}. ${advice}`;
}
