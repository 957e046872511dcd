import { isIP } from 'node:net';
import { create } from '@bufbuild/protobuf';
import type { BackendSpec } from '../../crds/backend.ts';
import { parseHostPort } from '../../crds/host-port.ts';
import { type EndpointGroup, EndpointGroupSchema } from '../../proto/gen/fairlead/v1/table_pb.js';
import type { HostAddress, Pod } from '../source/cluster-state.ts';
import { type PodIndex, type SelectorTerms, selectorTerms } from './pod-index.ts';
import { socketAddress } from './socket-address.ts';

/** A backend, what was found for it, and where. */
export interface PlannedBackend {
  readonly spec: BackendSpec;
  readonly found: BackendEndpoints;
  readonly from: Source;
}

/** The endpoints that a backend has now; the same object while they are the same. */
export interface BackendEndpoints {
  readonly group: EndpointGroup;
  /** Endpoints that take new requests. */
  readonly ready: number;
  /** Endpoints that should: pods on their way out do not count. */
  readonly total: number;
  /** Why there is nothing to send to; undefined when there is. */
  readonly lacking: string | undefined;
  /** What to warn about, without standing in the way. */
  readonly remarks: readonly Remark[];
}

/** Something suspicious about a backend's endpoints. */
export interface Remark {
  readonly reason: 'UnresolvedHost' | 'DuplicateAddress' | 'PortNotDeclared';
  /** Below the backend. */
  readonly path: readonly (string | number)[];
  readonly message: string;
}

/** Where endpoints came from: while it is the same, so are they. */
type Source =
  | { readonly kind: 'pods'; readonly terms: SelectorTerms; readonly pods: readonly Pod[] }
  | {
      readonly kind: 'hosts';
      readonly hosts: ReadonlyMap<string, HostAddress>;
      /** The address of each, or why it has none. */
      readonly answers: readonly string[];
    };

interface EndpointFacts {
  readonly address: string;
  readonly id: string;
  readonly name: string;
  readonly draining: boolean;
}

/** What endpoints are found in. */
export interface Surroundings {
  readonly pods: PodIndex;
  /** Terms of the index whose pods are others than at the plan before. */
  readonly touched: ReadonlySet<string>;
  readonly hosts: ReadonlyMap<string, HostAddress>;
}

/** Finds the endpoints of a backend; `found` stays the object that it was in `before` when they are the same. */
export function planBackend(
  spec: BackendSpec,
  namespace: string,
  around: Surroundings,
  before?: PlannedBackend,
): PlannedBackend {
  const known = before?.spec === spec ? before : undefined;
  return spec.pods === undefined
    ? fromHosts(spec, spec.endpoints ?? [], around.hosts, known)
    : fromPods(spec, spec.pods, namespace, around.pods, known);
}

/** Whether a backend's endpoints could be others now. Cheap, and may say yes where they turn out to be the same. */
export function mayHaveChanged({ from }: PlannedBackend, { touched, hosts }: Surroundings): boolean {
  if (from.kind === 'hosts') return hosts !== from.hosts;
  return touched.size > 0 && from.terms.every(term => touched.has(term));
}

function fromPods(
  spec: BackendSpec,
  { selector, port }: NonNullable<BackendSpec['pods']>,
  namespace: string,
  index: PodIndex,
  before: PlannedBackend | undefined,
): PlannedBackend {
  const known = before?.from.kind === 'pods' ? before.from : undefined;
  const terms = known?.terms ?? selectorTerms(namespace, selector.matchLabels);
  const pods = index.select(terms, selector.matchLabels).sort(byName);
  const from: Source = { kind: 'pods', terms, pods };
  if (before !== undefined && known !== undefined && same(known.pods, pods)) return { spec, found: before.found, from };

  const usable = pods.filter(({ ip, ready, terminating }) => ip !== undefined && (ready || terminating));
  const { endpoints, remarks } = distinct(
    usable.map(pod => ({
      address: socketAddress(pod.ip ?? '', port),
      id: `${pod.uid}:${port}`,
      name: pod.name,
      draining: pod.terminating,
    })),
    ['pods'],
  );
  const other = pods.find(({ ports }) => ports.length > 0 && !ports.includes(port));
  const ready = endpoints.filter(({ draining }) => !draining).length;
  const found: BackendEndpoints = {
    group: create(EndpointGroupSchema, { endpoints: [...endpoints] }),
    ready,
    total: pods.filter(({ terminating }) => !terminating).length,
    lacking: ready > 0 ? undefined : whyNoPod(selector.matchLabels, namespace, pods),
    remarks: other === undefined ? remarks : [...remarks, portNotDeclared(port, other)],
  };
  return { spec, found, from };
}

function fromHosts(
  spec: BackendSpec,
  listed: readonly string[],
  hosts: ReadonlyMap<string, HostAddress>,
  before: PlannedBackend | undefined,
): PlannedBackend {
  const resolved = listed.map(endpoint => resolve(endpoint, hosts));
  const answers = resolved.map(({ address, failure }) => address ?? failure);
  const from: Source = { kind: 'hosts', hosts, answers };
  if (before?.from.kind === 'hosts' && same(before.from.answers, answers)) return { spec, found: before.found, from };
  const usable: EndpointFacts[] = [];
  const unresolved: Remark[] = [];
  for (const [index, { address, failure }] of resolved.entries()) {
    if (address !== undefined) usable.push({ address, id: address, name: `${spec.name}-${index}`, draining: false });
    else {
      const message = `\`${listed[index]}\` is left out: ${failure}`;
      unresolved.push({ reason: 'UnresolvedHost', path: ['endpoints', index], message });
    }
  }
  const { endpoints, remarks } = distinct(usable, ['endpoints']);
  const found: BackendEndpoints = {
    group: create(EndpointGroupSchema, { endpoints: [...endpoints] }),
    ready: endpoints.length,
    total: endpoints.length + unresolved.length,
    lacking: endpoints.length > 0 ? undefined : whyNoHost(resolved),
    remarks: [...unresolved, ...remarks],
  };
  return { spec, found, from };
}

/** One endpoint an address: Envoy keeps one host for each, and a pod that leaves gives way to the one that has its IP now. */
function distinct(found: readonly EndpointFacts[], path: Remark['path']) {
  const byAddress = new Map<string, EndpointFacts>();
  const remarks: Remark[] = [];
  for (const endpoint of found) {
    const before = byAddress.get(endpoint.address);
    if (before === undefined || (before.draining && !endpoint.draining)) byAddress.set(endpoint.address, endpoint);
    if (before === undefined || before.draining || endpoint.draining) continue;
    const message = `\`${endpoint.address}\` is the address of both ${before.name} and ${endpoint.name}: used once`;
    remarks.push({ reason: 'DuplicateAddress', path, message });
  }
  return { endpoints: [...byAddress.values()], remarks };
}

function whyNoPod(labels: Readonly<Record<string, string>>, namespace: string, pods: readonly Pod[]): string {
  const selector = Object.entries(labels)
    .map(([label, value]) => `${label}=${value}`)
    .join(',');
  if (pods.length === 0) return `selector ${selector} matches no pods in namespace ${namespace}`;
  const [first] = pods;
  if (pods.length === 1) return `selector ${selector} matches 1 pod, which is not ready: ${first?.name}`;
  return `selector ${selector} matches ${pods.length} pods, none of them ready: ${first?.name} and others`;
}

function whyNoHost(resolved: readonly Resolved[]): string {
  const failures = new Set(resolved.flatMap(({ failure }) => failure ?? []));
  return failures.size === 0 ? 'it lists no endpoint' : `none of its host names resolves: ${[...failures].join('; ')}`;
}

function portNotDeclared(port: number, pod: Pod): Remark {
  const declared = pod.ports.join(', ');
  return {
    reason: 'PortNotDeclared',
    path: ['pods', 'port'],
    message: `pod ${pod.name} declares port ${declared}, not ${port}`,
  };
}

type Resolved =
  | { readonly address: string; readonly failure?: never }
  | { readonly address?: never; readonly failure: string };

/** The address of `host:port`, as far as the host's is known. */
function resolve(endpoint: string, hosts: ReadonlyMap<string, HostAddress>): Resolved {
  const parts = parseHostPort(endpoint);
  if (parts === undefined) return { failure: 'not host:port' };
  const { host, port } = parts;
  if (isIP(host) !== 0) return { address: socketAddress(host, port) };
  const found = hosts.get(host);
  if (found?.ip !== undefined) return { address: socketAddress(found.ip, port) };
  return { failure: found?.failure ?? `${host} is still being looked up` };
}

function byName(one: Pod, other: Pod): number {
  return one.name < other.name ? -1 : one.name > other.name ? 1 : 0;
}

function same(one: readonly unknown[], other: readonly unknown[]): boolean {
  return one.length === other.length && one.every((item, index) => item === other[index]);
}
