import { PICK_KEY, PICK_NAMESPACE } from '../../proto/exchange-names.ts';
import type { ClusterJson, LoadBalancingPolicyJson } from '../../proto/gen/envoy/config/cluster/v3/cluster_pb.js';
import {
  AiProtocolManagerPerRouteSchema,
  AiProtocolManagerSchema,
} from '../../proto/gen/envoy/extensions/filters/http/ai_protocol_manager/v3/ai_protocol_manager_pb.js';
import { UpstreamCodecSchema } from '../../proto/gen/envoy/extensions/filters/http/upstream_codec/v3/upstream_codec_pb.js';
import type { HttpFilterJson } from '../../proto/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { OverrideHostSchema } from '../../proto/gen/envoy/extensions/load_balancing_policies/override_host/v3/override_host_pb.js';
import { RandomSchema } from '../../proto/gen/envoy/extensions/load_balancing_policies/random/v3/random_pb.js';
import { SubsetSchema } from '../../proto/gen/envoy/extensions/load_balancing_policies/subset/v3/subset_pb.js';
import { HttpProtocolOptionsSchema } from '../../proto/gen/envoy/extensions/upstreams/http/v3/http_protocol_options_pb.js';
import type { Model } from '../../proto/gen/fairlead/v1/table_pb.js';
import { NO_CAPS } from './circuit-breakers.ts';
import { fromAgent } from './config-source.ts';
import { stripAtPod } from './header-hygiene.ts';
import { USAGE_FILTER } from './names.ts';
import { duration, typedConfig } from './typed-config.ts';

/** Where a model names no connect timeout. */
const DEFAULT_CONNECT_TIMEOUT_MS = 5_000;
/** Envoy gives up an idle connection first: uvicorn and Node close theirs after 5 s, and a request that meets the
 * closing fails with 503 UC (envoy.md Plan 9). */
const POOL_IDLE_TIMEOUT_MS = 4_000;
/** A load assignment follows its cluster at once; a cluster that waits longer would hold up Envoy's start. */
const ENDPOINTS_FETCH_TIMEOUT_MS = 5_000;

/**
 * The cluster of a model: all endpoints of all its backends. It holds nothing that changes with the pods, so that
 * only a changed connect timeout replaces it.
 *
 * @param name the model's resource name, also that of its load assignment
 */
export function modelCluster(name: string, model: Model): ClusterJson {
  return {
    name,
    type: 'EDS',
    edsClusterConfig: { edsConfig: fromAgent(ENDPOINTS_FETCH_TIMEOUT_MS), serviceName: name },
    connectTimeout: duration(model.timeouts?.connectMs || DEFAULT_CONNECT_TIMEOUT_MS),
    circuitBreakers: NO_CAPS,
    // Health is extproc's business: a host that it picked gets the request, whatever share of the hosts is well.
    commonLbConfig: { healthyPanicThreshold: { value: 0 } },
    loadBalancingPolicy: ONLY_PICKED_HOSTS,
    typedExtensionProtocolOptions: { [HttpProtocolOptionsSchema.typeName]: UPSTREAM_HTTP },
  };
}

/** `typed_per_filter_config` that tells the usage reader what the answers of a route look like. */
export const READ_USAGE_AS_CHAT = {
  [USAGE_FILTER]: typedConfig(AiProtocolManagerPerRouteSchema, {
    response: { llmProtocol: 'OPENAI_CHAT_COMPLETIONS' },
  }),
};

/**
 * The hosts that extproc named, in its order, and no other: where none of them is left or known, the subset that no
 * host belongs to answers with "no healthy host", a 503.
 */
const ONLY_PICKED_HOSTS: LoadBalancingPolicyJson = policy(
  'envoy.load_balancing_policies.override_host',
  typedConfig(OverrideHostSchema, {
    overrideHostSources: [{ metadata: { key: PICK_NAMESPACE, path: [{ key: PICK_KEY }] } }],
    fallbackPolicy: policy(
      'envoy.load_balancing_policies.subset',
      typedConfig(SubsetSchema, {
        fallbackPolicy: 'NO_FALLBACK',
        subsetSelectors: [{ keys: ['no-host-has-this-key'] }],
        subsetLbPolicy: policy('envoy.load_balancing_policies.random', typedConfig(RandomSchema, {})),
      }),
    ),
  }),
);

/**
 * Filters of the upstream chain run once per attempt. The usage reader sits here and not in the downstream chain,
 * where it would need synthesized trailers (envoy.md C3).
 */
const UPSTREAM_FILTERS: HttpFilterJson[] = [
  stripAtPod(),
  {
    name: USAGE_FILTER,
    typedConfig: typedConfig(AiProtocolManagerSchema, {
      responseHandling: { tokenUsage: { includeUnconfiguredRoutes: true } },
    }),
  },
  { name: 'envoy.filters.http.upstream_codec', typedConfig: typedConfig(UpstreamCodecSchema, {}) },
];

const UPSTREAM_HTTP = typedConfig(HttpProtocolOptionsSchema, {
  commonHttpProtocolOptions: { idleTimeout: duration(POOL_IDLE_TIMEOUT_MS) },
  explicitHttpConfig: { httpProtocolOptions: {} },
  httpFilters: UPSTREAM_FILTERS,
});

function policy(name: string, typedConfig: object): LoadBalancingPolicyJson {
  return { policies: [{ typedExtensionConfig: { name, typedConfig } }] };
}
