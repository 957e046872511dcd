import { isDeepStrictEqual } from 'node:util';
import type { Pod } from '../cluster-state.ts';
import type { Collection } from './api-object.ts';
import type { Keep } from './replica.ts';

/** The part of a pod's `spec` that is read. */
interface PodSpec {
  readonly containers?: readonly Container[];
  readonly initContainers?: readonly Container[];
  readonly readinessGates?: readonly { readonly conditionType: string }[];
}

interface Container {
  readonly ports?: readonly { readonly containerPort: number }[];
  /** `Always` makes an init container a sidecar. */
  readonly restartPolicy?: string;
}

/** The part of a pod's `status` that is read. */
interface PodStatus {
  readonly phase?: string;
  readonly podIP?: string;
  readonly conditions?: readonly { readonly type: string; readonly status: string }[];
}

/** Pods that have not ended. */
export const POD_COLLECTION: Omit<Collection, 'namespace'> = {
  groupVersion: '/api/v1',
  plural: 'pods',
  fieldSelector: 'status.phase!=Succeeded,status.phase!=Failed',
};

/** Keeps what routing needs of a pod; nothing of one that has ended. */
export const keepPod: Keep<Pod> = ({ metadata, spec = {}, status = {} }, before) => {
  const { containers = [], initContainers = [], readinessGates = [] } = spec as PodSpec;
  const { phase, podIP, conditions = [] } = status as PodStatus;
  if (phase === 'Succeeded' || phase === 'Failed') return undefined;
  const holds = (type: string) => conditions.some(condition => condition.type === type && condition.status === 'True');
  const running = [...containers, ...initContainers.filter(({ restartPolicy }) => restartPolicy === 'Always')];
  const pod: Pod = {
    namespace: metadata.namespace,
    name: metadata.name,
    uid: metadata.uid,
    labels: metadata.labels ?? {},
    ip: podIP === '' ? undefined : podIP,
    // The kubelet includes the gates in Ready, but a moment later than whoever closes one.
    ready: holds('Ready') && readinessGates.every(({ conditionType }) => holds(conditionType)),
    terminating: metadata.deletionTimestamp !== undefined,
    ports: running.flatMap(({ ports = [] }) => ports.map(({ containerPort }) => containerPort)),
  };
  return before !== undefined && isDeepStrictEqual(before, pod) ? before : pod;
};
