import { z } from 'zod';
import { labelName, objectName } from './object-name.ts';

/** The one version of the resources. */
export const API_VERSION = 'fairlead.dev/v1alpha1';

const SET_BY_SERVER = 'Set by the Kubernetes API server; ignored in files.';

/** The part of Kubernetes' ObjectMeta that a document may carry, also when it was read back from a cluster. */
export const metadataSchema = z.strictObject({
  name: objectName().describe('Name of the resource, unique among its kind in its namespace.'),
  namespace: labelName().default('default').describe('Namespace of the resource, and of the pods that it selects.'),
  labels: z.record(z.string(), z.string()).optional().describe('Labels, free to use.'),
  annotations: z.record(z.string(), z.string()).optional().describe('Annotations, free to use.'),
  creationTimestamp: z.iso
    .datetime({ offset: true, error: 'expected a time such as `2026-01-31T12:00:00Z`' })
    .nullish()
    .describe('When the resource was created; between two that claim one name the older wins.'),
  generation: z.int().min(0).optional().describe('Counts the changes of the spec.'),
  uid: z.string().optional().describe(SET_BY_SERVER),
  resourceVersion: z.string().optional().describe(SET_BY_SERVER),
  selfLink: z.string().optional().describe(SET_BY_SERVER),
  generateName: z.string().optional().describe(SET_BY_SERVER),
  deletionTimestamp: z.string().optional().describe(SET_BY_SERVER),
  deletionGracePeriodSeconds: z.int().optional().describe(SET_BY_SERVER),
  finalizers: z.array(z.string()).optional().describe(SET_BY_SERVER),
  ownerReferences: z.array(z.unknown()).optional().describe(SET_BY_SERVER),
  managedFields: z.array(z.unknown()).optional().describe(SET_BY_SERVER),
});
