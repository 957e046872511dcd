import {
  CLUSTER_TYPE,
  ENDPOINT_TYPE,
  encodeResource,
  LISTENER_TYPE,
  type ResourceType,
  ROUTE_TYPE,
} from '../../agent/envoy/encode.ts';
import { typedConfig } from '../../agent/envoy/typed-config.ts';
import type { ClusterJson } from '../../proto/gen/envoy/config/cluster/v3/cluster_pb.js';
import type { ClusterLoadAssignmentJson } from '../../proto/gen/envoy/config/endpoint/v3/endpoint_pb.js';
import type { ListenerJson } from '../../proto/gen/envoy/config/listener/v3/listener_pb.js';
import type { RouteConfigurationJson } from '../../proto/gen/envoy/config/route/v3/route_pb.js';
import { RouterSchema } from '../../proto/gen/envoy/extensions/filters/http/router/v3/router_pb.js';
import { HttpConnectionManagerSchema } from '../../proto/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import type { Resource } from '../../xds/resource.ts';

const FROM_ADS = { ads: {}, resourceApiVersion: 'V3', initialFetchTimeout: '0s' } as const;

/** Names the cluster of a request, as in the product; the route decides by path whether it may. */
export const CLUSTER_HEADER = 'x-cluster';

/** What a cluster leads to: ports on this machine. `connectTimeout` is there to change a cluster by. */
export interface TestCluster {
  readonly ports: readonly number[];
  readonly connectTimeout?: string;
}

/** The smallest Envoy configuration that has all types: path "/<cluster>" is routed, to the cluster that the header names. */
export function envoyResources(listenerPort: number, clusters: Readonly<Record<string, TestCluster>>): Resource[] {
  return [
    ...Object.entries(clusters).map(([name, { connectTimeout }]) => cluster(name, connectTimeout ?? '1s')),
    ...Object.entries(clusters).map(([name, { ports }]) => endpoints(name, ports)),
    listener(listenerPort),
    routes(Object.keys(clusters)),
  ];
}

function cluster(name: string, connectTimeout: string): Resource {
  const json: ClusterJson = {
    name,
    type: 'EDS',
    edsClusterConfig: { edsConfig: FROM_ADS, serviceName: name },
    connectTimeout,
  };
  return encoded(CLUSTER_TYPE, name, json);
}

/** A cluster that Envoy cannot use: it is said to have dynamic endpoints, and not from where. */
export function badCluster(name: string): Resource {
  return encoded(CLUSTER_TYPE, name, { name, type: 'EDS', connectTimeout: '1s' } satisfies ClusterJson);
}

function endpoints(name: string, ports: readonly number[]): Resource {
  const json: ClusterLoadAssignmentJson = {
    clusterName: name,
    endpoints: [
      {
        lbEndpoints: ports.map(portValue => ({
          endpoint: { address: { socketAddress: { address: '127.0.0.1', portValue } } },
        })),
      },
    ],
  };
  return encoded(ENDPOINT_TYPE, name, json);
}

function listener(portValue: number): Resource {
  const json: ListenerJson = {
    name: 'front',
    address: { socketAddress: { address: '127.0.0.1', portValue } },
    filterChains: [
      {
        filters: [
          {
            name: 'envoy.filters.network.http_connection_manager',
            typedConfig: typedConfig(HttpConnectionManagerSchema, {
              statPrefix: 'front',
              rds: { configSource: FROM_ADS, routeConfigName: 'front' },
              httpFilters: [{ name: 'envoy.filters.http.router', typedConfig: typedConfig(RouterSchema, {}) }],
            }),
          },
        ],
      },
    ],
  };
  return encoded(LISTENER_TYPE, 'front', json);
}

function routes(clusters: readonly string[]): Resource {
  const json: RouteConfigurationJson = {
    name: 'front',
    virtualHosts: [
      {
        name: 'all',
        domains: ['*'],
        routes: clusters.map(name => ({ match: { path: `/${name}` }, route: { clusterHeader: CLUSTER_HEADER } })),
      },
    ],
  };
  return encoded(ROUTE_TYPE, 'front', json);
}

function encoded(typeUrl: ResourceType, name: string, json: object): Resource {
  const { version, bytes } = encodeResource(typeUrl, name, json);
  return { typeUrl, name, version, body: bytes };
}
