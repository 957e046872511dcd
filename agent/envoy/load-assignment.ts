import type { LbEndpointJson } from '../../proto/gen/envoy/config/endpoint/v3/endpoint_components_pb.js';
import type { ClusterLoadAssignmentJson } from '../../proto/gen/envoy/config/endpoint/v3/endpoint_pb.js';
import type { Endpoint, EndpointGroup } from '../../proto/gen/fairlead/v1/table_pb.js';
import { ENDPOINT_NAMESPACE } from './names.ts';

/** The endpoints of one backend; undefined while they have not arrived. */
export interface BackendEndpoints {
  readonly backend: string;
  readonly group: EndpointGroup | undefined;
}

/**
 * The hosts of a model, those of all its backends together. Draining ones stay listed: they finish what they have, and
 * extproc does not pick them. An address that two backends share is one host to Envoy, and is listed for the first.
 */
export function loadAssignment(name: string, backends: readonly BackendEndpoints[]): ClusterLoadAssignmentJson {
  const hosts = new Map<string, LbEndpointJson>();
  for (const { backend, group } of backends) {
    for (const endpoint of group?.endpoints ?? []) {
      if (!hosts.has(endpoint.address)) hosts.set(endpoint.address, host(backend, endpoint));
    }
  }
  return { clusterName: name, endpoints: [{ lbEndpoints: [...hosts.values()] }] };
}

function host(backend: string, endpoint: Endpoint): LbEndpointJson {
  return {
    endpoint: { address: { socketAddress: socketAddress(endpoint.address) } },
    metadata: { filterMetadata: { [ENDPOINT_NAMESPACE]: { pod: endpoint.name, backend } } },
  };
}

/**
 * "10.0.0.7:8000" or "[fd00::7]:8000" in its two parts, without brackets.
 *
 * @throws Error when it is neither: the plan resolves and checks addresses, so this is a bug there
 */
export function socketAddress(hostPort: string): { address: string; portValue: number } {
  const colon = hostPort.lastIndexOf(':');
  const host = hostPort.slice(0, Math.max(colon, 0)).replace(/^\[(.*)\]$/, '$1');
  const port = hostPort.slice(colon + 1);
  if (host === '' || !/^\d{1,5}$/.test(port))
    throw new Error(`not an address with a port: ${JSON.stringify(hostPort)}`);
  return { address: host, portValue: Number(port) };
}
