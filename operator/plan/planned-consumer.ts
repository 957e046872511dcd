import { type ConsumerSpec, userPath } from '../../crds/consumer.ts';
import type { InferenceGatewaySpec } from '../../crds/inference-gateway.ts';
import type { Consumer } from '../../proto/gen/fairlead/v1/table_pb.js';
import type { Declared } from '../source/cluster-state.ts';
import type { ApiKeys } from './api-keys.ts';
import type { ConsumerClaim, ConsumerClaimant, ConsumerConflict } from './consumer-claims.ts';
import { consumerMessage } from './consumer-message.ts';
import { consumerStatus, type ResourceStatus } from './resource-status.ts';
import type { PlanWarning } from './warnings.ts';

/** What of the rest a Consumer depends on. */
export interface ConsumerSurroundings {
  /** Undefined while nobody knows. */
  readonly authentication: InferenceGatewaySpec['authentication'] | undefined;
  /** Whether what was spent outlives a restart. */
  readonly keepsBudgets: boolean;
  /** In the order of their keys. */
  readonly priced: readonly PricedModel[];
}

/** A model that costs something. */
export interface PricedModel {
  /** "<namespace>/<name>" */
  readonly key: string;
  readonly currency: string;
  /** Its id and its aliases, for all versions and for its own. */
  readonly names: readonly string[];
}

/** A Consumer with everything that the plan says of it, and what that was made from. */
export interface PlannedConsumer {
  readonly declared: Declared<ConsumerSpec>;
  readonly keys: ApiKeys;
  readonly claimant: ConsumerClaimant;
  readonly claim: ConsumerClaim;
  readonly around: ConsumerSurroundings;
  /** Absent when it is not accepted. */
  readonly consumer: Consumer | undefined;
  readonly status: ResourceStatus;
  readonly warnings: readonly PlanWarning[];
}

/** What a Consumer asks to be known by. */
export function consumerClaimant(
  key: string,
  { name, createdAtMs, spec }: Declared<ConsumerSpec>,
  { digests }: ApiKeys,
): ConsumerClaimant {
  const tokens = spec.jwt.map(({ issuer, claims }) => JSON.stringify([issuer, Object.entries(claims).sort()]));
  return { key, shortName: name, createdAtMs, digests, tokens, users: spec.users };
}

/** Plans one Consumer, using again what `before` has. */
export function planConsumer(
  made: Pick<PlannedConsumer, 'declared' | 'keys' | 'claimant' | 'claim' | 'around'>,
  before: PlannedConsumer | undefined,
): PlannedConsumer {
  const { declared, keys, claimant, claim, around } = made;
  const { spec, generation } = declared;
  const refused =
    claim.conflict ?? (spec.budget !== undefined && !around.keepsBudgets ? 'BudgetNeedsStore' : undefined);
  const { names, users, lost = [] } = claim;
  const warnings =
    refused === undefined
      ? [...lostWarnings(claimant, spec, lost), ...consumerWarnings(claimant.key, spec, around)]
      : [];
  const status = consumerStatus(spec, generation, refused, keys, warnings);
  if (refused !== undefined || names === undefined) return { ...made, consumer: undefined, status, warnings };
  const same = before?.claim === claim && before.keys === keys ? before.consumer : undefined;
  return { ...made, consumer: same ?? consumerMessage({ spec, names, users }, keys.digests), status, warnings };
}

/** What it is not known by although it asked for that. */
function lostWarnings(
  { key, shortName, users }: ConsumerClaimant,
  spec: ConsumerSpec,
  lost: readonly ConsumerConflict[],
): PlanWarning[] {
  return lost.map(({ over, index, holder }) => {
    const message =
      over === 'name'
        ? `\`${shortName}\` alone means ${holder.key}: this one is known as \`${key}\``
        : `\`${users[index]}\` means ${holder.key}: take it out`;
    const path = over === 'name' ? ['metadata', 'name'] : userPath(spec, index);
    return { kind: 'Consumer', resource: key, reason: 'NameTaken', path, message };
  });
}

/** What is suspicious about a Consumer. */
function consumerWarnings(
  resource: string,
  spec: ConsumerSpec,
  { authentication, priced }: ConsumerSurroundings,
): PlanWarning[] {
  const warnings: PlanWarning[] = [];
  const warn = (reason: PlanWarning['reason'], path: PlanWarning['path'], message: string) =>
    warnings.push({ kind: 'Consumer', resource, reason, path: ['spec', ...path], message });
  const { mode, jwt = [] } = authentication ?? {};
  if (spec.apiKeys.length > 0 && mode !== undefined && mode !== 'apiKeys' && mode !== 'apiKeysOrJwt') {
    warn('CredentialsIgnored', ['apiKeys'], `the gateway asks for no API key: its authentication is \`${mode}\``);
  }
  for (const [index, { issuer }] of mode === undefined ? [] : spec.jwt.entries()) {
    if (mode !== 'jwt' && mode !== 'apiKeysOrJwt') {
      warn('CredentialsIgnored', ['jwt', index], `the gateway takes no tokens: its authentication is \`${mode}\``);
    } else if (!jwt.some(one => one.issuer === issuer)) {
      warn('UnknownIssuer', ['jwt', index, 'issuer'], `the gateway believes no tokens of \`${issuer}\``);
    }
  }
  for (const [currency, model] of foreignCurrencies(spec, priced)) {
    const message = `the budget is in ${spec.budget?.currency}: it does not hold what is priced in ${currency}, as ${model} is`;
    warn('CurrencyMismatch', ['budget', 'currency'], message);
  }
  return warnings;
}

/** Each other currency than the budget's that models are priced in which it may use, with the first of them. */
function foreignCurrencies({ budget, models }: ConsumerSpec, priced: readonly PricedModel[]): Map<string, string> {
  const found = new Map<string, string>();
  if (budget === undefined) return found;
  const fits = patternFilter(models);
  for (const { key, currency, names } of priced) {
    if (currency !== budget.currency && !found.has(currency) && names.some(fits)) found.set(currency, key);
  }
  return found;
}

/** Whether a name is among `patterns`, in which `*` is any characters. */
function patternFilter(patterns: readonly string[] | undefined): (name: string) => boolean {
  if (patterns === undefined) return () => true;
  const globs = patterns.map(pattern => pattern.split('*'));
  return name => globs.some(parts => fitsGlob(parts, name));
}

/** Each part is looked for once, leftmost: no pattern can make this slow. */
function fitsGlob(parts: readonly string[], name: string): boolean {
  const [first = '', ...others] = parts;
  const last = others.pop();
  if (last === undefined) return name === first;
  if (!name.startsWith(first)) return false;
  let at = first.length;
  for (const part of others) {
    const found = name.indexOf(part, at);
    if (found < 0) return false;
    at = found + part.length;
  }
  return name.endsWith(last) && at <= name.length - last.length;
}
