import { createHash } from 'node:crypto';
import { type Limit, LimitEach, type Model } from '../../proto/gen/fairlead/v1/table_pb.js';
import type { Caller } from '../identity/caller.ts';
import { modelFilter } from '../identity/model-pattern.ts';
import type { ModelEntry } from '../models/model-index.ts';
import type { InferenceEndpoint } from '../request/endpoints.ts';
import type { Counter } from './limit-store.ts';
import { type LimitScope, limitText, type UnitName, unitName } from './limit-text.ts';

/** A limit as people are told of it. */
export interface LimitDescription {
  readonly scope: LimitScope;
  /** "<namespace>/<name>" of the consumer or model that it is of; else empty. */
  readonly owner: string;
  /** "100 requests per minute for team-a". */
  readonly text: string;
  readonly unit: UnitName | 'budget';
  readonly limit: number;
  readonly shadow: boolean;
}

/** A limit ready for use. */
export interface Rule extends LimitDescription {
  readonly unit: UnitName;
  /** 0 for concurrency. */
  readonly periodSeconds: number;
  readonly each: readonly LimitEach[];
  /** The only one, where nothing is counted each for itself; else all of it but the whole key. */
  readonly counter: Counter;
  readonly holdsFor: (model: Model, endpoint: InferenceEndpoint) => boolean;
}

/** Whom a request comes from, and what for. */
export interface Subject {
  readonly caller: Caller;
  readonly entry: ModelEntry;
  readonly endpoint: InferenceEndpoint;
}

const PATH_PREFIX = '/v1/';
/** A part of a key as it is; what is longer, or has other characters, is told by its digest. */
const PLAIN_PART = /^[\w./@-]{0,64}$/;
const DIGEST_CHARACTERS = 22;

/**
 * The rules of one list of limits. The keys of their counters are the same in every agent, and do not change with the
 * amount: who raises a limit keeps what is used of it. Of a unit that this version does not know there is no rule:
 * nothing could be counted.
 *
 * @param key whose the limits are: "<namespace>/<name>" of a consumer or model
 * @param name what people call that
 */
export function compileRules(scope: LimitScope, key: string, name: string, limits: readonly Limit[]): readonly Rule[] {
  const rules: Rule[] = [];
  const seen = new Map<string, number>();
  for (const limit of limits) {
    const unit = unitName(limit.unit);
    if (unit === undefined) continue;
    const counted = ruleKey(scope, key, unit, limit);
    const nth = (seen.get(counted) ?? 0) + 1;
    seen.set(counted, nth);
    const text = limitText(scope, name, unit, limit);
    // Two limits may differ by their amounts alone; still each has a counter of its own.
    rules.push(compileRule({ scope, owner: key, unit, text, limit, key: nth === 1 ? counted : `${counted}|${nth}` }));
  }
  return rules;
}

interface RuleParts extends Pick<Rule, 'scope' | 'owner' | 'unit' | 'text'> {
  readonly limit: Limit;
  readonly key: string;
}

function compileRule({ limit: config, key, ...named }: RuleParts): Rule {
  const { periodSeconds, shadow, each } = config;
  const limit = Math.min(Number(config.amount), Number.MAX_SAFE_INTEGER);
  const { unit } = named;
  const window = unit === 'concurrency' ? { kind: 'held' as const } : sliding(periodSeconds);
  const endpoints = new Set(config.endpoints.map(path => PATH_PREFIX + path));
  const isOfModel = modelFilter(config.models.length > 0 ? config.models : undefined);
  const holdsFor = (model: Model, endpoint: InferenceEndpoint): boolean =>
    (endpoints.size === 0 || endpoints.has(endpoint.path)) &&
    (endpoint.generatesText || unit !== 'output_tokens') &&
    isOfModel(model);
  return { ...named, limit, periodSeconds, shadow, each, counter: { key, limit, window, shadow }, holdsFor };
}

function sliding(periodSeconds: number) {
  return { kind: 'sliding', periodMs: periodSeconds * 1_000 } as const;
}

function ruleKey(scope: LimitScope, key: string, unit: UnitName, limit: Limit): string {
  const { periodSeconds, models, endpoints, each, shadow } = limit;
  const selectors = [models, endpoints].map(names => keyPart(names.toSorted().join(',')));
  return [shadow ? 'shadow' : 'limit', scope, key, unit, periodSeconds, ...selectors, each.join('+')].join('|');
}

/** The counter of a rule that counts a request. */
export function counterOf({ counter, each }: Rule, subject: Subject): Counter {
  if (each.length === 0) return counter;
  let { key } = counter;
  for (const value of each) key += `|${keyPart(eachValue(value, subject))}`;
  return { ...counter, key };
}

function eachValue(each: LimitEach, { caller, entry, endpoint }: Subject): string {
  if (each === LimitEach.CONSUMER) return caller.key;
  // A user is one within its consumer. The key of a consumer has no "@".
  if (each === LimitEach.USER) return `${caller.key}@${caller.user}`;
  if (each === LimitEach.MODEL) return entry.key;
  return each === LimitEach.ENDPOINT ? endpoint.path : '';
}

/** As it is where it is short and plain; else a digest, which no plain part looks like. */
function keyPart(text: string): string {
  if (PLAIN_PART.test(text)) return text;
  return `~${createHash('sha256').update(text).digest('base64url').slice(0, DIGEST_CHARACTERS)}`;
}
