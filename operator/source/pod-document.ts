import { isIP } from 'node:net';
import { z } from 'zod';
import { type Checked, checkFields } from '../../crds/check-fields.ts';
import type { Pod } from './cluster-state.ts';

/** What is read of a Kubernetes Pod; the rest may be anything. */
const podSchema = z.looseObject({
  metadata: z.looseObject({
    name: z.string().min(1),
    namespace: z.string().min(1).default('default'),
    uid: z.string().optional(),
    labels: z.record(z.string(), z.string()).default({}),
    deletionTimestamp: z.string().nullish(),
  }),
  spec: z
    .looseObject({
      containers: z
        .array(
          z.looseObject({ ports: z.array(z.looseObject({ containerPort: z.int().min(1).max(65_535) })).default([]) }),
        )
        .default([]),
    })
    .prefault({}),
  status: z
    .looseObject({
      podIP: z
        .string()
        .refine(ip => isIP(ip) !== 0, 'expected an IP address')
        .optional(),
      phase: z.string().optional(),
      conditions: z.array(z.looseObject({ type: z.string(), status: z.string() })).default([]),
    })
    .prefault({}),
});

const ENDED_PHASES = ['Succeeded', 'Failed'];

/** Reads a `v1 Pod` document; null when the pod has ended. A pod without a Ready condition counts as ready. */
export function readPod(document: unknown): Checked<Pod | null> {
  const { value: pod, problems } = checkFields(podSchema, document, 'Pod');
  if (problems !== undefined) return { problems };
  const { metadata, spec, status } = pod;
  if (status.phase !== undefined && ENDED_PHASES.includes(status.phase)) return { value: null };
  const { name, namespace, labels } = metadata;
  const readiness = status.conditions.find(({ type }) => type === 'Ready');
  const value: Pod = {
    name,
    namespace,
    uid: metadata.uid ?? `${namespace}/${name}`,
    labels,
    ip: status.podIP,
    ready: readiness === undefined || readiness.status === 'True',
    terminating: typeof metadata.deletionTimestamp === 'string',
    ports: spec.containers.flatMap(({ ports }) => ports.map(({ containerPort }) => containerPort)),
  };
  return { value };
}
