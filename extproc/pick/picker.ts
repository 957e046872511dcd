import type { EndpointLoad } from '../endpoint-load/endpoint-load.ts';
import type { BackendEntry, ModelEntry } from '../models/model-index.ts';
import { type CandidateView, candidateViews } from './candidate-view.ts';
import { type Eligibility, isEligible, Pool } from './pool.ts';
import { type Members, type PriorityGroup, priorityGroups } from './priority-group.ts';
import type { Random } from './random.ts';
import { strategies } from './strategies.ts';
import type { PickFacts, Strategy } from './strategy.ts';
import type { StrategyName } from './strategy-name.ts';

/** Where one request may go. */
export interface Pick {
  readonly backend: BackendEntry;
  /** 1 to 3 different endpoints of the backend, in order of preference: the first for the request, the rest for retries. */
  readonly slots: readonly number[];
}

/** Further candidates at most, whatever the model asks: two dead pods in a row are rare, three are an outage. */
const MAX_FURTHER_CANDIDATES = 2;

/**
 * Chooses the endpoints for a request:
 * 1. the first priority in which an endpoint is usable (neither draining nor ejected, and no probe on its way there);
 * 2. a backend of it by weight, where weights are set;
 * 3. the endpoint by the strategy; where no weights are set, among all backends of the priority;
 * 4. for retries the next best of the same backend, since the body was written for that one.
 * When ejections leave nothing in any priority, ejected endpoints are tried: refusing by mere opinion would be worse.
 *
 * It reserves nothing: the caller reserves the first in the same turn, or the next pick does not see this one.
 */
export class Picker {
  readonly #load: EndpointLoad;
  readonly #random: Random;
  readonly #strategies: Readonly<Record<StrategyName, Strategy>>;
  readonly #groups = new WeakMap<ModelEntry, readonly PriorityGroup[]>();
  readonly #pool = new Pool();

  constructor(load: EndpointLoad, random: Random) {
    this.#load = load;
    this.#random = random;
    this.#strategies = strategies(load, random);
  }

  /** Undefined when the model has no endpoint, or only draining ones. */
  pick(entry: ModelEntry, strategy: StrategyName, facts: PickFacts, nowMs: number): Pick | undefined {
    const groups = this.#groupsOf(entry);
    if (!this.#fillPool(groups, 'usable', nowMs) && !this.#fillPool(groups, 'last-resort', nowMs)) return undefined;
    const further = Math.min(entry.model.retryAttempts, MAX_FURTHER_CANDIDATES);
    return this.#choose(this.#strategies[strategy], further, facts, nowMs);
  }

  /** Every endpoint of the model as the strategy sees it now. Ask before the pick is reserved. Allocates: for debugging. */
  explain(entry: ModelEntry, strategy: StrategyName, nowMs: number): CandidateView[] {
    return candidateViews(this.#groupsOf(entry), this.#load, this.#strategies[strategy], nowMs);
  }

  #groupsOf(entry: ModelEntry): readonly PriorityGroup[] {
    const known = this.#groups.get(entry);
    if (known !== undefined) return known;
    const groups = priorityGroups(entry);
    this.#groups.set(entry, groups);
    return groups;
  }

  /** Fills the pool from the first priority that has anything eligible; false when none has. */
  #fillPool(groups: readonly PriorityGroup[], eligibility: Eligibility, nowMs: number): boolean {
    for (const group of groups) {
      const members = group.weights === undefined ? group.members[0] : this.#drawMembers(group, eligibility, nowMs);
      if (members === undefined) continue;
      this.#pool.fill(members, this.#load, eligibility, nowMs);
      if (this.#pool.size > 0) return true;
    }
    return false;
  }

  /** A backend of the priority that has something eligible, with a chance in proportion to its weight. */
  #drawMembers({ members, weights = [] }: PriorityGroup, eligibility: Eligibility, nowMs: number): Members | undefined {
    let total = 0;
    for (let index = 0; index < members.length; index++) {
      if (this.#hasEligible(members[index], eligibility, nowMs)) total += weights[index] ?? 0;
    }
    let left = this.#random() * total;
    let drawn: Members | undefined;
    for (let index = 0; index < members.length; index++) {
      if (!this.#hasEligible(members[index], eligibility, nowMs)) continue;
      drawn = members[index];
      left -= weights[index] ?? 0;
      if (left < 0) break;
    }
    return drawn;
  }

  #hasEligible(members: Members | undefined, eligibility: Eligibility, nowMs: number): boolean {
    if (members === undefined) return false;
    for (const slot of members.slots) if (isEligible(this.#load, slot, eligibility, nowMs)) return true;
    return false;
  }

  #choose(strategy: Strategy, further: number, facts: PickFacts, nowMs: number): Pick | undefined {
    const pool = this.#pool;
    const { members } = pool;
    const first = strategy.first(pool, facts, nowMs);
    const ordinal = pool.ordinals[first] ?? -1;
    const backend = members.backends[members.backendOf[ordinal] ?? -1];
    if (backend === undefined || first >= pool.size) throw new Error(`pick: nothing at ${first} for ${members.key}`);
    const slots = [members.slots[ordinal] ?? -1];
    if (further > 0) {
      pool.drop(first);
      if (members.backends.length > 1) pool.keepBackend(members.backendOf[ordinal] ?? -1);
    }
    while (slots.length <= further && pool.size > 0) {
      const next = strategy.next(pool, facts, nowMs);
      slots.push(members.slots[pool.ordinals[next] ?? -1] ?? -1);
      pool.drop(next);
    }
    return { backend, slots };
  }
}
