import type { BootstrapJson } from '../../proto/gen/envoy/config/bootstrap/v3/bootstrap_pb.js';
import type { OverloadManagerJson } from '../../proto/gen/envoy/config/overload/v3/overload_pb.js';
import { FixedHeapConfigSchema } from '../../proto/gen/envoy/extensions/resource_monitors/fixed_heap/v3/fixed_heap_pb.js';
import { fromAgent } from './config-source.ts';
import { grpcTarget, pipe } from './grpc-target.ts';
import { socketAddress } from './load-assignment.ts';
import { ACCESS_LOG_CLUSTER, ADS_CLUSTER, EXT_PROC_CLUSTER } from './names.ts';
import { typedConfig } from './typed-config.ts';

/** Everything that an Envoy is told before it can ask its agent. */
export interface BootstrapSettings {
  /** Name of this node, as reports carry it. */
  readonly nodeId: string;
  /** Unix socket where the agent serves ADS. */
  readonly agentSocket: string;
  /** Unix socket where extproc serves ext_proc and access logs. */
  readonly extprocSocket: string;
  /** Where Envoy's own admin interface listens: a Unix socket's path, or "address:port". It can stop Envoy, so never
   * an address that others reach. */
  readonly admin: string;
  /** Heap above which Envoy sheds load, bytes. Bodies are held in it while they are picked for and retried. */
  readonly maxHeapBytes: number;
}

/**
 * Argument of Envoy's `--component-log-level`: without it every cluster logs three warnings that the reader of token
 * usage is work in progress (known: the version is pinned).
 */
export const COMPONENT_LOG_LEVELS = 'misc:error';

/** The configuration file of an Envoy that gets listeners, routes, clusters and endpoints from its agent. */
export function bootstrap(settings: BootstrapSettings): BootstrapJson {
  return {
    node: { id: settings.nodeId, cluster: 'fairlead' },
    admin: {
      address: settings.admin.includes('/') ? pipe(settings.admin) : { socketAddress: socketAddress(settings.admin) },
    },
    layeredRuntime: { layers: [{ name: 'fairlead', staticLayer: RUNTIME }] },
    overloadManager: overloadManager(settings.maxHeapBytes),
    dynamicResources: {
      adsConfig: {
        apiType: 'DELTA_GRPC',
        transportApiVersion: 'V3',
        setNodeOnFirstMessageOnly: true,
        grpcServices: [{ envoyGrpc: { clusterName: ADS_CLUSTER, retryPolicy: { retryBackOff: RECONNECT } } }],
      },
      // Without configuration there is nothing to be ready for: wait for the agent for ever.
      cdsConfig: fromAgent(0),
      ldsConfig: fromAgent(0),
    },
    staticResources: {
      clusters: [
        grpcTarget(ADS_CLUSTER, settings.agentSocket),
        grpcTarget(EXT_PROC_CLUSTER, settings.extprocSocket),
        grpcTarget(ACCESS_LOG_CLUSTER, settings.extprocSocket),
      ],
    },
  };
}

/** Envoy's default lets a restarted agent wait for up to 5 s (envoy.md G). */
const RECONNECT = { baseInterval: '0.1s', maxInterval: '1s' } as const;

const RUNTIME = {
  // Ext_proc streams end by END_STREAM in place of RST_STREAM: storms of resets make Node answer GOAWAY (envoy.md B3).
  'envoy.reloadable_features.ext_proc_graceful_grpc_close': true,
};

/** Refuses requests rather than die of a full heap: first new requests, at the very end new connections. */
function overloadManager(maxHeapBytes: number): OverloadManagerJson {
  const monitor = 'envoy.resource_monitors.fixed_heap';
  const at = (value: number) => [{ name: monitor, threshold: { value } }];
  return {
    refreshInterval: '0.25s',
    resourceMonitors: [
      { name: monitor, typedConfig: typedConfig(FixedHeapConfigSchema, { maxHeapSizeBytes: String(maxHeapBytes) }) },
    ],
    actions: [
      { name: 'envoy.overload_actions.shrink_heap', triggers: at(0.85) },
      { name: 'envoy.overload_actions.disable_http_keepalive', triggers: at(0.9) },
      { name: 'envoy.overload_actions.stop_accepting_requests', triggers: at(0.95) },
      { name: 'envoy.overload_actions.stop_accepting_connections', triggers: at(0.98) },
    ],
  };
}
