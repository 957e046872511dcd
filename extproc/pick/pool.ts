import type { EndpointLoad } from '../endpoint-load/endpoint-load.ts';
import type { Members } from './priority-group.ts';

const NO_MEMBERS: Members = {
  key: '',
  backends: [],
  slots: new Int32Array(0),
  names: [],
  backendOf: new Int32Array(0),
  capacities: new Float64Array(0),
  even: true,
};

/** Which endpoints may be picked. `last-resort`: ejected ones too, for when there is no other; never draining ones. */
export type Eligibility = 'usable' | 'last-resort';

/** Whether a request may go to the endpoint. */
export function isEligible(load: EndpointLoad, slot: number, eligibility: Eligibility, nowMs: number): boolean {
  return eligibility === 'usable' ? load.isUsable(slot, nowMs) : !load.isDraining(slot);
}

/**
 * The members that one pick may choose from, at positions 0 to `size` − 1. One pool serves all picks, so that a pick
 * allocates nothing; it is valid from `fill` to the end of the turn.
 */
export class Pool {
  members: Members = NO_MEMBERS;
  size = 0;
  /** By position: which member stands there. */
  ordinals = new Int32Array(0);
  /** By position, for strategies that compare: the member's score; lower is better. */
  scores = new Float64Array(0);
  /** Ordinal → position, true where the ordinal stands at that position. */
  #positions = new Int32Array(0);
  #indexed = false;

  /** Puts in the eligible members, in their order. */
  fill(members: Members, load: EndpointLoad, eligibility: Eligibility, nowMs: number): void {
    const { slots } = members;
    if (slots.length > this.ordinals.length) this.#grow(slots.length);
    this.members = members;
    this.#indexed = false;
    if (eligibility === 'usable') {
      this.size = load.selectUsable(slots, nowMs, this.ordinals);
      return;
    }
    this.size = 0;
    for (let ordinal = 0; ordinal < slots.length; ordinal++) {
      if (isEligible(load, slots[ordinal] ?? -1, eligibility, nowMs)) this.ordinals[this.size++] = ordinal;
    }
  }

  /** The position of a member; -1 when it is not in the pool. O(1) but for the first question after a change. */
  positionOf(ordinal: number): number {
    if (!this.#indexed) this.#index();
    const position = this.#positions[ordinal] ?? -1;
    return position < this.size && this.ordinals[position] === ordinal ? position : -1;
  }

  /** Takes out the member at a position; the last one moves there. */
  drop(position: number): void {
    const last = --this.size;
    this.ordinals[position] = this.ordinals[last] ?? 0;
    this.scores[position] = this.scores[last] ?? 0;
    this.#indexed = false;
  }

  /** Leaves only the members of one backend, in their order. */
  keepBackend(backend: number): void {
    const { ordinals, scores, size } = this;
    const { backendOf } = this.members;
    let kept = 0;
    for (let position = 0; position < size; position++) {
      const ordinal = ordinals[position] ?? 0;
      if (backendOf[ordinal] !== backend) continue;
      ordinals[kept] = ordinal;
      scores[kept++] = scores[position] ?? 0;
    }
    this.size = kept;
    this.#indexed = false;
  }

  #index(): void {
    for (let position = 0; position < this.size; position++) this.#positions[this.ordinals[position] ?? 0] = position;
    this.#indexed = true;
  }

  #grow(size: number): void {
    this.ordinals = new Int32Array(size);
    this.scores = new Float64Array(size);
    this.#positions = new Int32Array(size);
  }
}
