import type { AnyJson } from '@bufbuild/protobuf/wkt';
import type { EnvoyResources } from '../../agent/envoy/derive.ts';
import { CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE, ROUTE_TYPE, SECRET_TYPE } from '../../agent/envoy/encode.ts';
import type { BootstrapJson } from '../../proto/gen/envoy/config/bootstrap/v3/bootstrap_pb.js';
import type { ListenerJson } from '../../proto/gen/envoy/config/listener/v3/listener_pb.js';
import type { RouteConfigurationJson } from '../../proto/gen/envoy/config/route/v3/route_pb.js';
import type { HttpConnectionManagerJson } from '../../proto/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';

/**
 * The same resources as one file without a server to ask: routes inside the listeners, endpoints inside the clusters.
 * An Envoy validates all of it, which it does not do for what only a server could tell.
 */
export function staticConfiguration(bootstrap: BootstrapJson, resources: EnvoyResources): BootstrapJson {
  const { dynamicResources: _, ...rest } = bootstrap;
  const listeners = [...resources[LISTENER_TYPE].values()].map(each => withRoutes(each, resources[ROUTE_TYPE]));
  const clusters = [...resources[CLUSTER_TYPE].values()].map(({ edsClusterConfig, ...cluster }) => {
    if (cluster.type !== 'EDS') return cluster;
    const loadAssignment = resources[ENDPOINT_TYPE].get(edsClusterConfig?.serviceName ?? '');
    if (!loadAssignment) throw new Error(`cluster ${cluster.name} has no load assignment`);
    return { ...cluster, type: 'STATIC' as const, loadAssignment };
  });
  return {
    ...rest,
    staticResources: {
      listeners: listeners.map(withStaticSecrets),
      clusters: [...(bootstrap.staticResources?.clusters ?? []), ...clusters],
      secrets: [...resources[SECRET_TYPE].values()],
    },
  };
}

function withRoutes(listener: ListenerJson, routes: ReadonlyMap<string, RouteConfigurationJson>): ListenerJson {
  const filterChains = (listener.filterChains ?? []).map(chain => ({
    ...chain,
    filters: (chain.filters ?? []).map(filter => {
      const { rds, ...manager } = filter.typedConfig as AnyJson & HttpConnectionManagerJson;
      const routeConfig = routes.get(rds?.routeConfigName ?? '');
      if (!routeConfig) throw new Error(`listener ${listener.name} has no routes`);
      return { ...filter, typedConfig: { ...manager, routeConfig } };
    }),
  }));
  return { ...listener, filterChains };
}

/** A secret without a source is one of the same file. */
function withStaticSecrets(listener: ListenerJson): ListenerJson {
  const text = JSON.stringify(listener, (key, value) => (key === 'sdsConfig' ? undefined : value));
  return JSON.parse(text) as ListenerJson;
}
