import { isDeepStrictEqual } from 'node:util';
import type { InferenceGatewaySpec } from '../../crds/inference-gateway.ts';
import { type ModelDeploymentSpec, modelId } from '../../crds/model-deployment.ts';
import { type ClusterState, type Declared, objectKey } from '../source/cluster-state.ts';
import { resolveApiKeys } from './api-keys.ts';
import { type ConsumerClaim, sameConsumerClaim, settleConsumers } from './consumer-claims.ts';
import type { PlanOptions } from './gateway-message.ts';
import {
  type ConsumerSurroundings,
  consumerClaimant,
  type PlannedConsumer,
  type PricedModel,
  planConsumer,
} from './planned-consumer.ts';

/** What the next plan can use again. */
export class ConsumerMemory {
  readonly planned = new Map<string, PlannedConsumer>();
  claims: ReadonlyMap<string, ConsumerClaim> = new Map();
  consumers: ClusterState['consumers'] | undefined;
  secrets: ClusterState['secrets'] | undefined;
  models: ClusterState['modelDeployments'] | undefined;
  byUser = false;
  around: ConsumerSurroundings | undefined;
}

/** A Consumer as it was planned before and is now; undefined where it was not, or is no more. */
export interface ConsumerChange {
  readonly key: string;
  readonly from: PlannedConsumer | undefined;
  readonly to: PlannedConsumer | undefined;
}

type Made = Parameters<typeof planConsumer>[0];

/**
 * Brings `memory` up to date, and tells what that changed.
 *
 * @param gateway undefined while nobody knows what it says
 */
export function planConsumers(
  state: ClusterState,
  gateway: InferenceGatewaySpec | undefined,
  options: PlanOptions,
  memory: ConsumerMemory,
): ConsumerChange[] {
  const around = surroundings(state, gateway, options, memory);
  const { consumers, secrets, planned } = memory;
  const isSame = consumers === state.consumers && secrets === state.secrets && around === memory.around;
  Object.assign(memory, { consumers: state.consumers, secrets: state.secrets, models: state.modelDeployments, around });
  if (isSame) return [];
  const identified = [...state.consumers].map(([key, declared]) => {
    const from = planned.get(key);
    const keys = resolveApiKeys(declared, state.secrets, from?.keys);
    const same = from?.keys === keys && from.declared.createdAtMs === declared.createdAtMs;
    return { declared, keys, claimant: same ? from.claimant : consumerClaimant(key, declared, keys), around };
  });
  const byUser = gateway?.authentication.mode === 'none';
  memory.claims = settle(identified, byUser, memory);
  memory.byUser = byUser;
  const changes: ConsumerChange[] = [];
  for (const one of identified) {
    const { key } = one.claimant;
    const from = planned.get(key);
    const claim = memory.claims.get(key);
    if (claim === undefined) throw new Error(`no claim was settled for ${key}`);
    const made = { ...one, claim };
    if (from !== undefined && isStillTrue(from, made)) continue;
    const to = planConsumer(made, from);
    planned.set(key, to);
    changes.push({ key, from, to });
  }
  for (const [key, from] of planned) {
    if (state.consumers.has(key)) continue;
    planned.delete(key);
    changes.push({ key, from, to: undefined });
  }
  return changes;
}

/** Whether what was planned still holds, decided by the identity of what it was made from. */
function isStillTrue(planned: PlannedConsumer, { declared, keys, claim, around }: Made): boolean {
  return planned.declared === declared && planned.keys === keys && planned.claim === claim && planned.around === around;
}

/** What was settled as before stays the object that it was, so that the Consumers need not be made again. */
function settle(
  identified: readonly Pick<Made, 'claimant'>[],
  byUser: boolean,
  memory: ConsumerMemory,
): ConsumerMemory['claims'] {
  const { planned, claims } = memory;
  const isSame =
    byUser === memory.byUser &&
    identified.length === planned.size &&
    identified.every(({ claimant }) => {
      const before = planned.get(claimant.key);
      return before !== undefined && sameConsumerClaim(before.claimant, claimant);
    });
  if (isSame) return claims;
  const settled = settleConsumers(
    identified.map(({ claimant }) => claimant),
    byUser,
  );
  return new Map(
    [...settled].map(([key, claim]) => {
      const before = claims.get(key);
      return [key, before !== undefined && isDeepStrictEqual(before, claim) ? before : claim];
    }),
  );
}

function surroundings(
  { modelDeployments }: ClusterState,
  gateway: InferenceGatewaySpec | undefined,
  { standalone }: PlanOptions,
  { around: before, models }: ConsumerMemory,
): ConsumerSurroundings {
  const priced =
    before !== undefined && models === modelDeployments
      ? before.priced
      : [...modelDeployments.values()].flatMap(pricedModel);
  const now: ConsumerSurroundings = {
    authentication: gateway?.authentication,
    keepsBudgets: standalone || gateway?.limits.store !== 'memory',
    priced: priced.toSorted((one, other) => (one.key < other.key ? -1 : 1)),
  };
  return before !== undefined && isDeepStrictEqual(before, now) ? before : now;
}

function pricedModel(declared: Declared<ModelDeploymentSpec>): PricedModel[] {
  const { name, spec } = declared;
  if (spec.pricing === undefined) return [];
  const bare = [modelId(name, spec), ...spec.aliases];
  const names = spec.version === undefined ? bare : [...bare, ...bare.map(one => `${one}@${spec.version}`)];
  return [{ key: objectKey(declared), currency: spec.pricing.currency, names }];
}
