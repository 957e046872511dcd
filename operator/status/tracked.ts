import type { StatusDocument } from '../../crds/status.ts';
import type { Spend } from './spend.ts';
import type { StatusObject } from './status-objects.ts';

/** An object, what is to be written of it and what is. */
export interface Tracked {
  object: StatusObject;
  /** As the API has it, as far as we know. */
  written: StatusDocument | undefined;
  /** Whether a write was lost on its way, so that the API may have that instead. */
  uncertain: boolean;
  /** What the API should have; undefined while that is what it has. */
  desired: StatusDocument | undefined;
  /** Since when they differ, by a clock that only runs forward. */
  differsSinceMs: number | undefined;
  /** What `desired` was made from. */
  madeFrom: readonly unknown[];
  /** Of a Consumer, what is told of its budget, and since when. */
  spend: Spend | undefined;
  spendSinceMs: number;
  /** The period and the budget that were last told to be used up; empty before. */
  toldExhausted: string;
  /** The API server knows it no more; the next state will tell. */
  gone: boolean;
}

/** An object that nothing is to be written of yet. */
export function newlyTracked(object: StatusObject, written: StatusDocument | undefined, nowMs: number): Tracked {
  return {
    object,
    written,
    uncertain: false,
    desired: undefined,
    differsSinceMs: undefined,
    madeFrom: [],
    spend: written?.spend,
    spendSinceMs: nowMs,
    toldExhausted: '',
    gone: false,
  };
}
