import type { ApiObject } from '../../../operator/source/kubernetes/api-object.ts';

/** A Service as pods see it. */
export interface Service {
  readonly namespace: string;
  readonly name: string;
  /** Undefined for a headless one. */
  readonly clusterIp: string | undefined;
  /** TCP ones. */
  readonly ports: readonly { readonly name: string; readonly port: number }[];
}

interface ServiceSpec {
  readonly clusterIP?: string;
  readonly ports?: readonly { readonly name?: string; readonly port: number; readonly protocol?: string }[];
}

export function readService({ metadata, spec = {} }: ApiObject): Service {
  const { clusterIP, ports = [] } = spec as ServiceSpec;
  return {
    namespace: metadata.namespace,
    name: metadata.name,
    clusterIp: clusterIP === undefined || clusterIP === 'None' || clusterIP === '' ? undefined : clusterIP,
    ports: ports.filter(({ protocol = 'TCP' }) => protocol === 'TCP').map(({ name = '', port }) => ({ name, port })),
  };
}

/** Part of where a Service leads: https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/ */
export interface Slice {
  /** "namespace/name" of the Service. */
  readonly service: string;
  readonly ports: ReadonlyMap<string, number>;
  /** Of what takes new connections: ready and not on its way out. */
  readonly addresses: readonly string[];
}

interface SliceObject extends ApiObject {
  readonly ports?: readonly { readonly name?: string; readonly port?: number }[];
  readonly endpoints?: readonly {
    readonly addresses: readonly string[];
    readonly conditions?: { readonly ready?: boolean };
  }[];
}

export function readSlice(object: ApiObject): Slice {
  const { metadata, ports, endpoints } = object as SliceObject;
  return {
    service: `${metadata.namespace}/${metadata.labels?.['kubernetes.io/service-name'] ?? ''}`,
    ports: new Map((ports ?? []).map(({ name = '', port = 0 }) => [name, port])),
    addresses: (endpoints ?? []).flatMap(({ addresses, conditions }) =>
      conditions?.ready === false ? [] : addresses.slice(0, 1),
    ),
  };
}

/** The host names of every Service, as DNS would have them for a pod of this namespace: lines of a hosts file. */
export function serviceHosts(namespace: string, services: Iterable<Service>, slices: Iterable<Slice>): string[] {
  const headless = Map.groupBy(slices, ({ service }) => service);
  return [...services].flatMap(service => {
    const { name } = service;
    const qualified = [`${name}.${service.namespace}`, `${name}.${service.namespace}.svc`];
    const names = [...qualified, `${qualified[1]}.cluster.local`, ...(service.namespace === namespace ? [name] : [])];
    const addresses = service.clusterIp
      ? [service.clusterIp]
      : (headless.get(`${service.namespace}/${name}`) ?? []).flatMap(slice => slice.addresses);
    return addresses.map(address => `${address} ${names.join(' ')}`);
  });
}
