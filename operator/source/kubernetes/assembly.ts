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
  // A change of one kind, such as each one of a pod, costs nothing of the others.
  readonly #models = new Remembered(sorted<ModelDeploymentSpec>);
  readonly #gateways = new Remembered(sorted<InferenceGatewaySpec>);
  readonly #consumers = new Remembered(sorted<ConsumerSpec>);
  readonly #pods = new Remembered((pods: ReadonlyMap<string, Pod>) => pods);
  readonly #gatewayMemory = new GatewayMemory();
  #last: Assembled | undefined;

  constructor(namespaces: readonly NamespaceReplicas[]) {
    this.#namespaces = namespaces;
  }

  /** The same object while nothing changed. */
  read(): Assembled {
    const last = this.#last;
    const models = this.#models.of(this.#namespaces.map(({ models }) => models.values));
    const gateways = this.#gateways.of(this.#namespaces.map(({ gateways }) => gateways.values));
    const consumers = this.#consumers.of(this.#namespaces.map(({ consumers }) => consumers.values));
    const pods = this.#pods.of(this.#namespaces.map(({ pods }) => pods.values));
    const declaredGateways = sameList(
      [...gateways.declared].sort(byKey).map(([, value]) => value),
      last?.gateways,
    );
    const now: Assembled = {
      modelDeployments: sameMap(models.declared, last?.modelDeployments),
      gateways: declaredGateways,
      closed: this.#gatewayMemory.read(declaredGateways, gateways.unserved),
      consumers: sameMap(consumers.declared, last?.consumers),
      pods: sameMap(pods, last?.pods),
      refused: sameList([...consumers.refused, ...gateways.refused, ...models.refused], last?.refused),
    };
    if (last !== undefined && sameParts(now, last)) return last;
    this.#last = now;
    return now;
  }
}

/** What was made of the objects of some replicas, until one of them has others. */
class Remembered<Value, Made> {
  readonly #make: (objects: ReadonlyMap<string, Value>) => Made;
  #last: { readonly from: readonly ReadonlyMap<string, Value>[]; readonly made: Made } | undefined;

  constructor(make: (objects: ReadonlyMap<string, Value>) => Made) {
    this.#make = make;
  }

  of(from: readonly ReadonlyMap<string, Value>[]): Made {
    const last = this.#last;
    if (last !== undefined && from.every((objects, index) => objects === last.from[index])) return last.made;
    const made = this.#make(union(from));
    this.#last = { from, made };
    return made;
  }
}

/** The objects of one kind by what can be done with them. */
function sorted<Spec>(objects: ReadonlyMap<string, DeclaredObject<Spec>>) {
  return {
    declared: declaredOf(objects),
    refused: refusedOf(objects),
    unserved: [...objects.values()].flatMap(unserved),
  };
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
  const found = [...objects].flatMap(([key, { refused }]) => (refused === undefined ? [] : [[key, refused] as const]));
  return found.sort(byKey).map(([, refused]) => refused);
}

function byKey([one]: readonly [string, unknown], [other]: readonly [string, unknown]): number {
  return one < other ? -1 : 1;
}

function sameMap<Value>(
  now: ReadonlyMap<string, Value>,
  last: ReadonlyMap<string, Value> | undefined,
): ReadonlyMap<string, Value> {
  return last !== undefined && (now === last || sameEntries(now, last)) ? last : now;
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
