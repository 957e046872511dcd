import { type Refusal, refuse } from '../../errors/refusal.ts';
import type { Gateway } from '../../proto/gen/fairlead/v1/table_pb.js';
import type { BodyFacts } from '../request/body-facts.ts';
import { accountCharges } from './accounts.ts';
import { AdmissionTally } from './admission-tally.ts';
import type { BudgetRule } from './budget-rule.ts';
import { BudgetWatch, type SpentBudget } from './budget-watch.ts';
import { type Amounts, amountOf, type Charges, chargesOf } from './charges.ts';
import { FREE_GRANT, type Grant } from './grant.ts';
import type { Rule, Subject } from './limit-rules.ts';
import type { CounterState, LimitStore, Verdict } from './limit-store.ts';
import { priceOf } from './money.ts';
import { NO_MEDIA, type PricedMedia, pricedMedia } from './priced-media.ts';
import { refuseAccess, refuseByLimits, refuseUncounted, refuseUntold } from './refusals.ts';
import { RuleBook } from './rule-book.ts';
import { hasNoPromptTokens, MAX_TOKENS, mostPromptTokens, TokenEstimates } from './token-estimate.ts';
import { type UsageReport, type UsageRequest, usageQuestion } from './usage-report.ts';

/** A request that was read whole. */
export interface AdmissionRequest extends Subject {
  readonly gateway: Gateway;
  readonly body: Uint8Array;
  readonly facts: BodyFacts;
}

/** What became of an admitted request, as the ledger knows it. */
export interface AdmissionOutcome {
  readonly promptTokens: number;
  readonly cachedPromptTokens: number;
  readonly completionTokens: number;
  /** The answer told no usage, or not to its end. */
  readonly estimated: boolean;
  /** Whether an endpoint has worked for it: what none has worked for costs no tokens and no money. */
  readonly produced: boolean;
}

/** What a settled request took. */
export interface Spend {
  readonly inputTokens: number;
  readonly cachedInputTokens: number;
  readonly outputTokens: number;
  /** In 10^-9 of the currency. */
  readonly nano: number;
  /** Empty where the model has no price. */
  readonly currency: string;
  readonly estimated: boolean;
}

interface AdmissionOptions {
  /** The store in use. What was reserved in another is settled there. */
  readonly store: () => LimitStore;
  /** Milliseconds since the epoch. */
  readonly nowMs: () => number;
  /** An id that no other reservation has in any process that shares the store. */
  readonly nextId: () => string;
  /** Hears of a mistake of ours, which cost one request an `internal_error`. */
  readonly failed: (error: unknown) => void;
}

/**
 * Lets requests pass, or not, by the limits that hold for them: reserves in one call of the store, before the request is
 * sent on, what it may take, and puts there, after it is over, what it took.
 */
export class Admission {
  readonly tally = new AdmissionTally();
  readonly #store: () => LimitStore;
  readonly #nowMs: () => number;
  readonly #nextId: () => string;
  readonly #failed: (error: unknown) => void;
  readonly #book = new RuleBook();
  readonly #estimates = new TokenEstimates();
  readonly #budgets = new BudgetWatch();

  constructor({ store, nowMs, nextId, failed }: AdmissionOptions) {
    this.#store = store;
    this.#nowMs = nowMs;
    this.#nextId = nextId;
    this.#failed = failed;
  }

  /**
   * All that is reserved for the request, or why it may not pass: `rate_limit_exceeded`, `concurrency_exceeded`,
   * `insufficient_quota`, `model_not_allowed` for a limit of 0, `gateway_unavailable` where the store does not answer and
   * nothing passes without. A promise only where the store's answer is one; it is never rejected.
   */
  admit(request: AdmissionRequest): Grant | Refusal | Promise<Grant | Refusal> {
    const grant = this.#draft(request);
    if (grant.charges.length === 0 || grant.open === undefined) return grant;
    const denied = grant.limits.find(({ limit, shadow }) => limit === 0 && !shadow);
    if (denied !== undefined) {
      this.tally.checked(denied, 'refused');
      return refuseAccess(denied, request);
    }
    const verdict = grant.open.store.reserve(grant.id, grant.charges);
    if (!(verdict instanceof Promise)) return this.#decide(grant, verdict);
    return verdict.then(answer => this.#decide(grant, answer), refuseUncounted);
  }

  /** The request is over, whatever it took: others may take its place at once. */
  release({ id, charges, open }: Grant): void {
    if (open !== undefined && !open.closed && charges.length > 0) open.store.release(id, charges);
  }

  /** Counts what a request took that nobody keeps account of. */
  count(subject: Subject, outcome: AdmissionOutcome): Spend {
    const spend = spendOf(subject, NO_MEDIA, outcome);
    this.#count(subject, spend);
    return spend;
  }

  /** Charges what the request took in place of what was reserved; once. Undefined where nobody keeps account of it. */
  settle({ id, charges, limits, open }: Grant, outcome: AdmissionOutcome): Spend | undefined {
    if (open === undefined || open.closed) return undefined;
    open.closed = true;
    const { store, subject } = open;
    const { caller, entry } = subject;
    const spend = spendOf(subject, open.media, outcome);
    const amounts = { requests: 1, input: spend.inputTokens, output: spend.outputTokens, nano: spend.nano };
    if (charges.length > 0) store.settle(id, charges, amountsOf(limits, amounts));
    if (isBudgeted(limits)) this.#budgets.changed(caller.key, spend.nano - open.toldNano);
    if (caller.consumer !== undefined) {
      store.add(accountCharges(caller.consumer, entry, amounts, this.#nowMs()));
    }
    this.#count(subject, spend);
    if (outcome.produced && !outcome.estimated) {
      const { promptTokens, completionTokens } = outcome;
      const { bodyBytes, asked } = open;
      this.#estimates.learn(entry.key, subject.endpoint, { bodyBytes, promptTokens, completionTokens, asked });
    }
    return spend;
  }

  /** Gives everything back, as if the request had never come: it was sent to no endpoint. */
  cancel({ id, charges, limits, open }: Grant): void {
    if (open === undefined || open.closed) return;
    open.closed = true;
    if (charges.length > 0) open.store.settle(id, charges, amountsOf(limits, NOTHING));
    if (isBudgeted(limits)) this.#budgets.changed(open.subject.caller.key, -open.toldNano);
  }

  /** Where a caller stands, or `gateway_unavailable`. A promise only where the store's answer is one; never rejected. */
  usage(request: UsageRequest): UsageReport | Refusal | Promise<UsageReport | Refusal> {
    const { counters, answer } = usageQuestion(this.#book, request, this.#nowMs());
    const states = counters.length === 0 ? [] : this.#store().read(counters);
    return states instanceof Promise ? states.then(answer, refuseUntold) : answer(states);
  }

  /** Budgets of which the warning threshold is reached. */
  budgetStates(): readonly SpentBudget[] {
    return this.#budgets.states(this.#nowMs());
  }

  /** Forgets consumers and models, told by their keys, that are gone. */
  keepOnly(isConsumer: (key: string) => boolean, isModel: (key: string) => boolean): void {
    this.#budgets.keepOnly(isConsumer);
    this.tally.keepOnly(isConsumer, isModel);
    this.#estimates.keepOnly(isModel);
  }

  #count({ caller }: Subject, { inputTokens, outputTokens, nano, currency }: Spend): void {
    this.tally.used(caller.key || caller.name, inputTokens, outputTokens, nano, currency);
  }

  /** The grant as it will be if the store agrees. */
  #draft(request: AdmissionRequest): Grant {
    const { caller, entry, endpoint, gateway, body, facts } = request;
    const isUncounted = caller.consumer === undefined && entry.model.pricing === undefined;
    if (isUncounted && !this.#book.hasRules(request)) return FREE_GRANT;
    const { pricing, maxContextLength } = entry.model;
    const tokens = this.#estimates.estimate(entry.key, endpoint, body.length, facts, maxContextLength);
    const media = pricing === undefined ? NO_MEDIA : pricedMedia(endpoint, body, facts);
    const used = { prompt: tokens.input, cachedPrompt: 0, completion: tokens.output, ...media };
    const reserved = { requests: 1, ...tokens, nano: pricing === undefined ? 0 : priceOf(pricing, used) };
    const subject = { caller, entry, endpoint };
    const charged = chargesOf(this.#book, subject, gateway, reserved, this.#nowMs());
    if (isUncounted && charged.charges.length === 0) return FREE_GRANT;
    const asked = { answers: facts.answers, maxOutputTokens: facts.maxOutputTokens };
    const bodyBytes = body.length;
    const open = { store: this.#store(), subject, reserved, toldNano: 0, media, bodyBytes, asked, closed: false };
    return { id: this.#nextId(), ...charged, states: [], open };
  }

  /** A mistake of ours costs this request an error, and nobody what it has reserved. */
  #decide(grant: Grant, verdict: Verdict): Grant | Refusal {
    try {
      return this.#judge(grant, verdict);
    } catch (error) {
      this.#failed(error);
      this.cancel(grant);
      return refuse('internal_error');
    }
  }

  #judge(grant: Grant, verdict: Verdict): Grant | Refusal {
    const { charges, limits, open } = grant;
    const { states } = verdict;
    if (open === undefined) return grant;
    if (
      verdict.isAlone === undefined &&
      this.#noteBudget(limits, states, open.subject.caller.key) &&
      verdict.admitted
    ) {
      open.toldNano = open.reserved.nano;
    }
    if (!verdict.admitted) {
      for (const i of verdict.refusedBy) if (limits[i] !== undefined) this.tally.checked(limits[i], 'refused');
      return refuseByLimits(verdict, { charges, limits }, open.subject, open.reserved);
    }
    for (const [i, limit] of limits.entries()) {
      const state = states[i];
      const isOver = limit.shadow && state !== undefined && state.used > state.limit;
      this.tally.checked(limit, isOver ? 'shadowed' : 'admitted');
    }
    return { ...grant, states };
  }

  /** Whether there is a budget of which all is known. */
  #noteBudget(limits: Charges['limits'], states: readonly CounterState[], consumer: string): boolean {
    const last = limits.at(-1);
    const state = states[limits.length - 1];
    // Where a store counts for itself what it must share, nobody knows what is spent.
    if (last?.unit !== 'budget' || state?.limit !== last.limit) return false;
    this.#budgets.told(consumer, last.budget, state.used, this.#nowMs());
    return true;
  }
}

const NOTHING: Amounts = Object.freeze({ requests: 0, input: 0, output: 0, nano: 0 });

function amountsOf(limits: readonly (Rule | BudgetRule)[], amounts: Amounts): readonly number[] {
  return limits.map(({ unit }) => amountOf(unit, amounts));
}

/** The budget is the last of the limits of a request, where it is one of them. */
function isBudgeted(limits: readonly (Rule | BudgetRule)[]): boolean {
  return limits.at(-1)?.unit === 'budget';
}

function spendOf({ entry, endpoint }: Subject, media: PricedMedia, outcome: AdmissionOutcome): Spend {
  const { pricing, maxContextLength } = entry.model;
  const { produced, estimated } = outcome;
  // Estimated by bytes, which say nothing there.
  const isPromptKnown = produced && !(estimated && hasNoPromptTokens(endpoint));
  const most = estimated ? mostPromptTokens(endpoint, maxContextLength) : MAX_TOKENS;
  const prompt = isPromptKnown ? Math.min(outcome.promptTokens, most) : 0;
  const cachedPrompt = Math.min(prompt, outcome.cachedPromptTokens);
  const completion = produced ? Math.min(outcome.completionTokens, MAX_TOKENS) : 0;
  const isPriced = produced && pricing !== undefined;
  return {
    inputTokens: prompt,
    cachedInputTokens: cachedPrompt,
    outputTokens: completion,
    nano: isPriced ? priceOf(pricing, { prompt, cachedPrompt, completion, ...media }) : 0,
    currency: pricing?.currency ?? '',
    estimated: produced && (estimated || (media.estimated && isAudioPriced(pricing?.audioMinute))),
  };
}

function isAudioPriced(audioMinute: bigint | undefined): boolean {
  return audioMinute !== undefined && audioMinute > 0n;
}
