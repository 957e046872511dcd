import { isDeepStrictEqual } from 'node:util';
import type { Plan } from '../../operator/plan/plan.ts';
import type { Consumer } from '../../proto/gen/fairlead/v1/table_pb.js';

/** What a person is told of the change from one plan to the next: "+ qwen  2/2", "− llama", "~ llama  2/2 → 1/2", "+ consumer ml/a  1 key". */
export function planChanges(before: Plan, now: Plan): string[] {
  const regrouped = changedGroups(before, now);
  const lines = isDeepStrictEqual(before.gateway, now.gateway) ? [] : ['~ settings of the gateway'];
  const kept = (key: string) => before.models.get(key)?.id === now.models.get(key)?.id;
  for (const [key, model] of before.models) if (!kept(key)) lines.push(`− ${publicName(model)}`);
  for (const [key, model] of now.models) {
    const old = kept(key) ? before.models.get(key) : undefined;
    const ready = readiness(now, key);
    if (old === undefined) lines.push(`+ ${publicName(model)}  ${ready}`);
    else if (readiness(before, key) !== ready)
      lines.push(`~ ${publicName(model)}  ${readiness(before, key)} → ${ready}`);
    else if (old !== model || regrouped.has(key)) lines.push(`~ ${publicName(model)}  ${ready}`);
  }
  return [...lines, ...consumerChanges(before, now)];
}

function consumerChanges(before: Plan, now: Plan): string[] {
  const lines: string[] = [];
  for (const key of before.consumers.keys()) if (!now.consumers.has(key)) lines.push(`− consumer ${key}`);
  for (const [key, consumer] of now.consumers) {
    const old = before.consumers.get(key);
    if (old !== consumer) lines.push(`${old === undefined ? '+' : '~'} consumer ${key}  ${consumerFacts(consumer)}`);
  }
  return lines;
}

/** "2 keys, 1 limit, budget" */
function consumerFacts({ apiKeys, jwt, limits, budget }: Consumer): string {
  const counted = [counts(apiKeys.length, 'key'), counts(jwt.length, 'token rule'), counts(limits.length, 'limit')];
  return [...counted.flat(), ...(budget ? ['a budget'] : [])].join(', ');
}

function counts(count: number, what: string): string[] {
  return count === 0 ? [] : [`${count} ${what}${count === 1 ? '' : 's'}`];
}

/** "2/3": endpoints that take requests, of those that should. */
export function readiness(plan: Plan, key: string): string {
  const { ready = 0, total = 0 } = plan.statuses.get(key)?.endpoints ?? {};
  return `${ready}/${total}`;
}

/** How clients name it, and which version. */
export function publicName({ id, version }: { readonly id: string; readonly version: string }): string {
  return version ? `${id}@${version}` : id;
}

/** Keys of the models whose endpoints are other ones, or set otherwise. What did not change is the same object. */
function changedGroups(before: Plan, now: Plan): Set<string> {
  const models = new Set<string>();
  for (const [one, other] of [
    [before, now],
    [now, before],
  ] as const) {
    for (const [group, endpoints] of one.endpoints) {
      if (other.endpoints.get(group) !== endpoints) models.add(group.slice(0, group.lastIndexOf('/')));
    }
  }
  return models;
}
