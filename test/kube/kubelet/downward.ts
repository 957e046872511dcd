import type { ContainerSpec, FieldReference, PodObject, ResourceFieldReference } from './pod-object.ts';

/** What a pod may be told of itself. */
export interface PodFacts {
  readonly pod: PodObject;
  readonly podIp: string;
  readonly nodeIp: string;
  /** What a container without a limit may use, as Quantities. */
  readonly allocatable: Readonly<Record<string, string>>;
}

/** https://kubernetes.io/docs/concepts/workloads/pods/downward-api/ @throws Error for a field that is not known */
export function fieldValue({ pod, podIp, nodeIp }: PodFacts, { fieldPath }: FieldReference): string {
  const { metadata, spec } = pod;
  const [, map, key = ''] = /^metadata\.(labels|annotations)\['(.+)'\]$/.exec(fieldPath) ?? [];
  if (map !== undefined) return metadata[map as 'labels' | 'annotations']?.[key] ?? '';
  const values: Readonly<Record<string, string>> = {
    'metadata.name': metadata.name,
    'metadata.namespace': metadata.namespace,
    'metadata.uid': metadata.uid,
    'metadata.labels': lines(metadata.labels),
    'metadata.annotations': lines(metadata.annotations),
    'spec.nodeName': spec.nodeName,
    'spec.serviceAccountName': spec.serviceAccountName,
    'status.podIP': podIp,
    'status.podIPs': podIp,
    'status.hostIP': nodeIp,
    'status.hostIPs': nodeIp,
  };
  const value = values[fieldPath];
  if (value === undefined) throw new Error(`fieldPath ${fieldPath} is not supported`);
  return value;
}

/** @throws Error for a Quantity that cannot be read */
export function resourceValue(
  { pod, allocatable }: PodFacts,
  container: ContainerSpec,
  reference: ResourceFieldReference,
): string {
  const { containerName, resource, divisor } = reference;
  const all = [...pod.spec.containers, ...(pod.spec.initContainers ?? [])];
  const { resources = {} } = all.find(({ name }) => name === containerName) ?? container;
  const [which, name = ''] = resource.split('.');
  const given = which === 'requests' ? resources.requests?.[name] : resources.limits?.[name];
  const quantity = given ?? (which === 'requests' ? '0' : allocatable[name]) ?? '0';
  const unit = divisor === undefined || divisor === '0' ? '1' : divisor;
  return String(Math.ceil(quantityValue(quantity) / quantityValue(unit)));
}

const SUFFIXES: Readonly<Record<string, number>> = {
  '': 1,
  m: 1e-3,
  ...Object.fromEntries([...'kMGTP'].map((letter, index) => [letter, 1_000 ** (index + 1)])),
  ...Object.fromEntries([...'KMGTP'].map((letter, index) => [`${letter}i`, 1_024 ** (index + 1)])),
};

/** https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/ */
function quantityValue(quantity: string): number {
  const [, number, suffix = ''] = /^([\d.]+(?:[eE]\d+)?)([a-zA-Z]*)$/.exec(quantity) ?? [];
  const factor = SUFFIXES[suffix];
  if (number === undefined || factor === undefined) throw new Error(`quantity ${quantity} is not supported`);
  return Number(number) * factor;
}

function lines(values: Readonly<Record<string, string>> = {}): string {
  return Object.entries(values)
    .map(([key, value]) => `${key}=${JSON.stringify(value)}`)
    .sort()
    .join('\n');
}
