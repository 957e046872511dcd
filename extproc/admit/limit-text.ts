import { type Limit, LimitEach, LimitUnit } from '../../proto/gen/fairlead/v1/table_pb.js';

/** Whom a limit is over: one consumer, all callers without a name, all callers of a model, or of the gateway. */
export type LimitScope = 'consumer' | 'anonymous' | 'model' | 'gateway';

/** What is counted. */
export type UnitName = 'requests' | 'tokens' | 'input_tokens' | 'output_tokens' | 'concurrency';

const UNIT_NAMES: ReadonlyMap<LimitUnit, UnitName> = new Map([
  [LimitUnit.LIMIT_REQUESTS, 'requests'],
  [LimitUnit.LIMIT_TOKENS, 'tokens'],
  [LimitUnit.LIMIT_INPUT_TOKENS, 'input_tokens'],
  [LimitUnit.LIMIT_OUTPUT_TOKENS, 'output_tokens'],
  [LimitUnit.LIMIT_CONCURRENCY, 'concurrency'],
]);

const UNIT_WORDS: Readonly<Record<UnitName, string>> = {
  requests: 'requests',
  tokens: 'tokens',
  input_tokens: 'input tokens',
  output_tokens: 'output tokens',
  concurrency: 'requests at once',
};

const PERIOD_WORDS: ReadonlyMap<number, string> = new Map([
  [1, 'second'],
  [60, 'minute'],
  [3_600, 'hour'],
  [86_400, 'day'],
  [2_592_000, 'month'],
]);

const EACH_WORDS: ReadonlyMap<LimitEach, string> = new Map([
  [LimitEach.CONSUMER, 'consumer'],
  [LimitEach.USER, 'user'],
  [LimitEach.MODEL, 'model'],
  [LimitEach.ENDPOINT, 'endpoint'],
]);

/** Undefined for a unit that this version does not know. */
export function unitName(unit: LimitUnit): UnitName | undefined {
  return UNIT_NAMES.get(unit);
}

/** "minute", or "90 s" for a period that has no name; undefined where there is none. */
export function periodText(seconds: number): string | undefined {
  return seconds === 0 ? undefined : (PERIOD_WORDS.get(seconds) ?? `${seconds} s`);
}

/** "200,000". */
export function countText(count: number): string {
  return count.toLocaleString('en-US');
}

/**
 * A limit in words: "100 requests per minute for team-a", "8 requests at once for each user of team-a, on llama, at
 * embeddings".
 *
 * @param owner whom it is over: "team-a", "llama"; not read where the scope says it all
 */
export function limitText(scope: LimitScope, owner: string, unit: UnitName, limit: Limit): string {
  const period = periodText(limit.periodSeconds);
  const noun =
    limit.amount === 1n ? UNIT_WORDS[unit].replace('requests', 'request').replace('tokens', 'token') : UNIT_WORDS[unit];
  const amount = `${countText(Number(limit.amount))} ${noun}${period === undefined ? '' : ` per ${period}`}`;
  const each = limit.each.map(value => EACH_WORDS.get(value)).filter(word => word !== undefined);
  const whom = each.length > 0 ? `each ${each.join(' and ')} of ${ownerText(scope, owner)}` : ownerText(scope, owner);
  const models = limit.models.length > 0 ? `, on ${limit.models.join(', ')}` : '';
  const endpoints = limit.endpoints.length > 0 ? `, at ${limit.endpoints.join(', ')}` : '';
  return `${amount} for ${whom}${models}${endpoints}`;
}

function ownerText(scope: LimitScope, owner: string): string {
  if (scope === 'consumer') return owner;
  if (scope === 'model') return `the model ${owner}`;
  return scope === 'anonymous' ? 'callers without a name' : 'the gateway';
}
