import type { SimPod } from '../../../sim/pod.ts';
import type { Manifest } from './gateway.ts';

/** A simulated pod as Kubernetes would show it. */
export function podDocument(pod: SimPod, labels: Readonly<Record<string, string>>, terminating = false): Manifest {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: pod.name, labels, ...(terminating && { deletionTimestamp: '2026-11-21T00:00:00Z' }) },
    spec: { containers: [{ name: 'engine', image: 'engine', ports: [{ containerPort: pod.port }] }] },
    status: { phase: 'Running', podIP: pod.address, conditions: [{ type: 'Ready', status: 'True' }] },
  };
}
