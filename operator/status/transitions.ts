import type { StatusDocument } from '../../crds/status.ts';
import type { Condition } from '../plan/resource-status.ts';
import { isExhausted, type Spend } from './spend.ts';
import { conditionOf } from './status-document.ts';

/** Something that became of a resource and that a person wants to know. */
export interface Transition {
  readonly type: 'Normal' | 'Warning';
  /** One CamelCase word for programs. */
  readonly reason: string;
  readonly note: string;
}

type Saw = Pick<Condition, 'status' | 'reason' | 'message'> | undefined;
type Judge = (from: Saw, to: NonNullable<Saw>) => Transition | undefined;

const JUDGES: readonly (readonly [Condition['type'], Judge])[] = [
  ['Accepted', brokenOrMended('Accepted')],
  ['BackendsResolved', brokenOrMended('BackendsResolved')],
  ['ResolvedRefs', brokenOrMended('ResolvedRefs')],
  ['Programmed', refusedOrMended],
  ['Ready', readyOrNot],
];

/** What is worth an Event between two statuses that were written of one object; `before` undefined for its first. */
export function transitions(before: StatusDocument | undefined, after: StatusDocument): Transition[] {
  const ofConditions = JUDGES.flatMap(([type, judge]) => {
    const to = conditionOf(after, type);
    return (to && judge(conditionOf(before, type), to)) ?? [];
  });
  return [...ofConditions, ...budgetTransitions(before?.spend, after.spend)];
}

/** Each once a period. */
function budgetTransitions(before: Spend | undefined, now: Spend | undefined): Transition[] {
  if (now === undefined) return [];
  const from = before?.periodEnd === now.periodEnd ? before : undefined;
  const { amount, limit, currency, periodEnd } = now;
  const note = `${amount} of ${limit} ${currency} are spent; the next period begins at ${periodEnd}`;
  if (isExhausted(now)) {
    return from !== undefined && isExhausted(from) ? [] : [{ type: 'Warning', reason: 'BudgetExhausted', note }];
  }
  return from === undefined ? [{ type: 'Warning', reason: 'BudgetWarning', note }] : [];
}

function brokenOrMended(mended: string): Judge {
  return (from, { status, reason, message }) => {
    if (status === 'False' && from?.status !== 'False') return { type: 'Warning', reason, note: message };
    if (status !== 'True' || from?.status !== 'False') return undefined;
    return { type: 'Normal', reason: mended, note: `no more: ${from.message}` };
  };
}

/** Only what gateways refuse is news: that they are slow, or that a resource is not served, is told elsewhere. */
function refusedOrMended(from: Saw, { status, reason, message }: NonNullable<Saw>): Transition | undefined {
  if (reason === 'Refused' && from?.reason !== 'Refused') return { type: 'Warning', reason, note: message };
  if (status !== 'True' || from?.reason !== 'Refused') return undefined;
  return { type: 'Normal', reason: 'Programmed', note: message };
}

/** An object that was never ready is on its way; why not yet is told by the other conditions. */
function readyOrNot(from: Saw, { status, message }: NonNullable<Saw>): Transition | undefined {
  if (status === 'True' && from?.status !== 'True') return { type: 'Normal', reason: 'Ready', note: message };
  if (status !== 'False' || from?.status !== 'True') return undefined;
  return { type: 'Warning', reason: 'NotReady', note: message };
}
