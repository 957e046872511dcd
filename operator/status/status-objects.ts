import type { ConsumerSpec } from '../../crds/consumer.ts';
import type { Plan } from '../plan/plan.ts';
import type { ModelStatus, ResourceStatus } from '../plan/resource-status.ts';
import { type ClusterState, type Declared, objectKey } from '../source/cluster-state.ts';
import type { RefusedResource } from '../source/kubernetes/declared-object.ts';
import type { ClusterReading } from '../source/kubernetes.ts';
import type { Regarding } from './event-recorder.ts';
import { isAccepted } from './status-document.ts';

/** A plan and what it was made from. */
export interface PlannedCluster {
  readonly plan: Pick<Plan, 'statuses' | 'gatewayStatuses' | 'consumerStatuses'>;
  readonly reading: ClusterReading;
}

/** What is known of an object: what was planned for it, or why nothing could be and what happens until it can be. */
type StatusSource =
  | { readonly planned: ResourceStatus | ModelStatus; readonly refused?: never }
  | { readonly planned?: never; readonly refused: RefusedResource; readonly meanwhile: string };

/** An object in the API whose status is ours to write. */
export interface StatusObject extends Regarding {
  /** "<namespace>/<name>" */
  readonly key: string;
  /** The generation that `source` is about. */
  readonly generation: number;
  readonly source: StatusSource;
  /** Of a Consumer that has one. */
  readonly budget?: ConsumerSpec['budget'];
}

/** All of them. Resources that come from files are none. */
export function* statusObjects({ plan, reading }: PlannedCluster): Generator<StatusObject> {
  const { state, refused } = reading;
  for (const declared of state.modelDeployments.values()) {
    yield* planned('ModelDeployment', declared, plan.statuses);
  }
  const refusedUids = new Set(refused.map(({ uid }) => uid));
  for (const declared of state.gateways) {
    const { origin } = declared;
    // Told below: what is served of it is not what it says now.
    if (origin.kind === 'object' && refusedUids.has(origin.uid)) continue;
    yield* planned('InferenceGateway', declared, plan.gatewayStatuses);
  }
  for (const declared of state.consumers.values()) {
    const { budget } = declared.spec;
    for (const object of planned('Consumer', declared, plan.consumerStatuses)) yield { ...object, budget };
  }
  for (const object of refused) {
    const { kind, namespace, name, uid, generation } = object;
    const key = objectKey(object);
    const meanwhile = kind === 'InferenceGateway' ? untilMended(key, state, plan.gatewayStatuses) : '';
    yield { kind, namespace, name, uid, generation, key, source: { refused: object, meanwhile } };
  }
}

/** What a gateway that cannot be read means for callers; empty where another one is served anyway. */
function untilMended(
  key: string,
  { closed }: Pick<ClusterState, 'closed'>,
  statuses: ReadonlyMap<string, ResourceStatus>,
): string {
  if (closed?.key === key) return 'nobody may call until this is mended: every request is answered 503';
  const status = statuses.get(key);
  return status !== undefined && isAccepted(status) ? 'the gateway goes on as it was before until this is mended' : '';
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
