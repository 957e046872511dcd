import type { Plan } from '../plan/plan.ts';
import type { ModelStatus, ResourceStatus } from '../plan/resource-status.ts';
import { type Declared, objectKey } from '../source/cluster-state.ts';
import type { RefusedResource } from '../source/kubernetes/declared-object.ts';
import type { ClusterReading } from '../source/kubernetes.ts';
import type { Regarding } from './event-recorder.ts';

/** A plan and what it was made from. */
export interface PlannedCluster {
  readonly plan: Pick<Plan, 'statuses' | 'gatewayStatuses' | 'consumerStatuses'>;
  readonly reading: ClusterReading;
}

/** What is known of an object: what was planned for it, or why nothing could be. */
type StatusSource =
  | { readonly planned: ResourceStatus | ModelStatus; readonly refused?: never }
  | { readonly planned?: never; readonly refused: RefusedResource };

/** An object in the API whose status is ours to write. */
export interface StatusObject extends Regarding {
  /** "<namespace>/<name>" */
  readonly key: string;
  /** The generation that `source` is about. */
  readonly generation: number;
  readonly source: StatusSource;
}

/** All of them. Resources that come from files are none. */
export function* statusObjects({ plan, reading }: PlannedCluster): Generator<StatusObject> {
  const { state, refused } = reading;
  for (const declared of state.modelDeployments.values()) {
    yield* planned('ModelDeployment', declared, plan.statuses);
  }
  for (const declared of state.gateways) yield* planned('InferenceGateway', declared, plan.gatewayStatuses);
  for (const declared of state.consumers.values()) yield* planned('Consumer', declared, plan.consumerStatuses);
  for (const object of refused) {
    const { kind, namespace, name, uid, generation } = object;
    yield { kind, namespace, name, uid, generation, key: objectKey(object), source: { refused: object } };
  }
}

function* planned(
  kind: Regarding['kind'],
  declared: Declared<unknown>,
  statuses: ReadonlyMap<string, ResourceStatus>,
): Generator<StatusObject> {
  const { namespace, name, origin, generation } = declared;
  const key = objectKey(declared);
  const status = statuses.get(key);
  if (origin.kind !== 'object' || status === undefined) return;
  yield { kind, namespace, name, uid: origin.uid, generation, key, source: { planned: status } };
}
