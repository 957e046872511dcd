import type { EndpointLoad, Standing } from '../endpoint-load/endpoint-load.ts';
import type { PriorityGroup } from './priority-group.ts';
import type { Strategy } from './strategy.ts';

/** One endpoint of a model as a pick sees it: plain data for the decision log and `x-fairlead-explain`. */
export interface CandidateView {
  /** What its backend calls it: the pod's name. */
  readonly endpoint: string;
  /** "ip:port": for the log only, since clients may not learn it. */
  readonly address: string;
  readonly backend: string;
  readonly priority: number;
  readonly inFlight: number;
  /** What the strategy compares, lower first; undefined where it does not compare. */
  readonly score: number | undefined;
  /** Why it may not be picked; undefined when it may. `no-share`: its backend has weight 0. */
  readonly unusable: Exclude<Standing, 'usable'> | 'no-share' | undefined;
}

/** Every endpoint, in the order of priorities and backends. */
export function candidateViews(
  groups: readonly PriorityGroup[],
  load: EndpointLoad,
  strategy: Strategy,
  nowMs: number,
): CandidateView[] {
  const views: CandidateView[] = [];
  const facts = (slot: number) => ({ address: load.address(slot), inFlight: load.inFlight(slot) });
  for (const { priority, members: choices, withoutShare } of groups) {
    for (const members of choices) {
      for (const [ordinal, slot] of members.slots.entries()) {
        const standing = load.standing(slot, nowMs);
        views.push({
          endpoint: members.names[ordinal] ?? '',
          backend: members.backends[members.backendOf[ordinal] ?? 0]?.config.name ?? '',
          priority,
          ...facts(slot),
          score: strategy.score(members, ordinal, nowMs),
          unusable: standing === 'usable' ? undefined : standing,
        });
      }
    }
    for (const { config, slots, names } of withoutShare) {
      for (const [place, slot] of slots.entries()) {
        const endpoint = names[place] ?? '';
        views.push({
          endpoint,
          backend: config.name,
          priority,
          ...facts(slot),
          score: undefined,
          unusable: 'no-share',
        });
      }
    }
  }
  return views;
}
