import type { ConsumerSpec } from '../../../crds/consumer.ts';
import type { InferenceGatewaySpec } from '../../../crds/inference-gateway.ts';
import type { ModelDeploymentSpec } from '../../../crds/model-deployment.ts';
import { GatewayMemory, type RefusedGateway } from '../closed-gateway.ts';
import { type Declared, objectKey, type Pod } from '../cluster-state.ts';
import type { DeclaredState } from '../declarations.ts';
import { type DeclaredObject, keepConsumer, keepGateway, keepModel, type RefusedResource } from './declared-object.ts';
import { keepPod } from './pod-facts.ts';
import { Replica, sameEntries } from './replica.ts';

/** The replicas of one namespace, or of all at once. */
export class NamespaceReplicas {
  readonly models = new Replica<DeclaredObject<ModelDeploymentSpec>>(keepModel);
  readonly gateways = new Replica<DeclaredObject<InferenceGatewaySpec>>(keepGateway);
  readonly consumers = new Replica<DeclaredObject<ConsumerSpec>>(keepConsumer);
  readonly pods = new Replica<Pod>(keepPod);

  /** Whether each was whole once. */
  get synced(): boolean {
    return this.models.synced && this.gateways.synced && this.consumers.synced && this.pods.synced;
  }
}

/** What all the namespaces hold; parts that say the same as at the last reading are the same objects. */
export interface Assembled extends DeclaredState {
  /** In the order of kinds and names. */
  readonly refused: readonly RefusedResource[];
}

/** Puts the replicas of some namespaces together. */
export class Assembly {
  readonly #namespaces: readonly NamespaceReplicas[];
  readonly #gatewayMemory = new GatewayMemory();
  #last: Assembled | undefined;

  constructor(namespaces: readonly NamespaceReplicas[]) {
    this.#namespaces = namespaces;
  }

  /** The same object while nothing changed. */
  read(): Assembled {
    const last = this.#last;
    const models = union(this.#namespaces.map(({ models }) => models.values));
    const gateways = union(this.#namespaces.map(({ gateways }) => gateways.values));
    const consumers = union(this.#namespaces.map(({ consumers }) => consumers.values));
    const pods = union(this.#namespaces.map(({ pods }) => pods.values));
    const declaredGateways = sameList(
      [...declaredOf(gateways).entries()].sort(byKey).map(([, value]) => value),
      last?.gateways,
    );
    const now: Assembled = {
      modelDeployments: sameMap(declaredOf(models), last?.modelDeployments),
      gateways: declaredGateways,
      closed: this.#gatewayMemory.read(declaredGateways, [...gateways.values()].flatMap(unserved)),
      consumers: sameMap(declaredOf(consumers), last?.consumers),
      pods: sameMap(pods, last?.pods),
      refused: sameList([...refusedOf(consumers), ...refusedOf(gateways), ...refusedOf(models)], last?.refused),
    };
    if (last !== undefined && sameParts(now, last)) return last;
    this.#last = now;
    return now;
  }
}

function union<Value>(maps: readonly ReadonlyMap<string, Value>[]): ReadonlyMap<string, Value> {
  const [only, ...others] = maps;
  return only !== undefined && others.length === 0 ? only : new Map(maps.flatMap(map => [...map]));
}

function declaredOf<Spec>(objects: ReadonlyMap<string, DeclaredObject<Spec>>): ReadonlyMap<string, Declared<Spec>> {
  const found = new Map<string, Declared<Spec>>();
  for (const [key, { declared }] of objects) if (declared !== undefined) found.set(key, declared);
  return found;
}

/** What of a gateway there is when nothing of it can be served. */
function unserved({ declared, refused }: DeclaredObject<unknown>): RefusedGateway[] {
  if (refused === undefined || declared !== undefined) return [];
  const { uid, createdAtMs } = refused;
  return [{ key: objectKey(refused), createdAtMs, origin: { kind: 'object', uid } }];
}

function refusedOf<Spec>(objects: ReadonlyMap<string, DeclaredObject<Spec>>): RefusedResource[] {
  return [...objects].sort(byKey).flatMap(([, { refused }]) => refused ?? []);
}

function byKey([one]: readonly [string, unknown], [other]: readonly [string, unknown]): number {
  return one < other ? -1 : 1;
}

function sameMap<Value>(
  now: ReadonlyMap<string, Value>,
  last: ReadonlyMap<string, Value> | undefined,
): ReadonlyMap<string, Value> {
  return last !== undefined && sameEntries(now, last) ? last : now;
}

function sameList<Value>(now: readonly Value[], last: readonly Value[] | undefined): readonly Value[] {
  return last?.length === now.length && now.every((value, index) => value === last[index]) ? last : now;
}

function sameParts(one: Assembled, other: Assembled): boolean {
  return (
    one.modelDeployments === other.modelDeployments &&
    one.gateways === other.gateways &&
    one.closed === other.closed &&
    one.consumers === other.consumers &&
    one.pods === other.pods &&
    one.refused === other.refused
  );
}
