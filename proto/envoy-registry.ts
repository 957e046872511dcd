import { createRegistry, type Registry } from '@bufbuild/protobuf';
import { file_envoy_extensions_access_loggers_file_v3_file as fileLog } from './gen/envoy/extensions/access_loggers/file/v3/file_pb.js';
import { file_envoy_extensions_access_loggers_filters_cel_v3_cel as celFilter } from './gen/envoy/extensions/access_loggers/filters/cel/v3/cel_pb.js';
import { file_envoy_extensions_access_loggers_grpc_v3_als as grpcLog } from './gen/envoy/extensions/access_loggers/grpc/v3/als_pb.js';
import { file_envoy_extensions_access_loggers_stream_v3_stream as streamLog } from './gen/envoy/extensions/access_loggers/stream/v3/stream_pb.js';
import { file_envoy_extensions_filters_http_ai_protocol_manager_v3_ai_protocol_manager as aiProtocolManager } from './gen/envoy/extensions/filters/http/ai_protocol_manager/v3/ai_protocol_manager_pb.js';
import { file_envoy_extensions_filters_http_cors_v3_cors as cors } from './gen/envoy/extensions/filters/http/cors/v3/cors_pb.js';
import { file_envoy_extensions_filters_http_ext_proc_v3_ext_proc as extProc } from './gen/envoy/extensions/filters/http/ext_proc/v3/ext_proc_pb.js';
import { file_envoy_extensions_filters_http_header_mutation_v3_header_mutation as headerMutation } from './gen/envoy/extensions/filters/http/header_mutation/v3/header_mutation_pb.js';
import { file_envoy_extensions_filters_http_health_check_v3_health_check as healthCheck } from './gen/envoy/extensions/filters/http/health_check/v3/health_check_pb.js';
import { file_envoy_extensions_filters_http_jwt_authn_v3_config as jwtAuthn } from './gen/envoy/extensions/filters/http/jwt_authn/v3/config_pb.js';
import { file_envoy_extensions_filters_http_rbac_v3_rbac as rbac } from './gen/envoy/extensions/filters/http/rbac/v3/rbac_pb.js';
import { file_envoy_extensions_filters_http_router_v3_router as router } from './gen/envoy/extensions/filters/http/router/v3/router_pb.js';
import { file_envoy_extensions_filters_http_upstream_codec_v3_upstream_codec as upstreamCodec } from './gen/envoy/extensions/filters/http/upstream_codec/v3/upstream_codec_pb.js';
import { file_envoy_extensions_filters_network_http_connection_manager_v3_http_connection_manager as connectionManager } from './gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { file_envoy_extensions_load_balancing_policies_override_host_v3_override_host as overrideHost } from './gen/envoy/extensions/load_balancing_policies/override_host/v3/override_host_pb.js';
import { file_envoy_extensions_load_balancing_policies_random_v3_random as random } from './gen/envoy/extensions/load_balancing_policies/random/v3/random_pb.js';
import { file_envoy_extensions_load_balancing_policies_subset_v3_subset as subset } from './gen/envoy/extensions/load_balancing_policies/subset/v3/subset_pb.js';
import { file_envoy_extensions_resource_monitors_fixed_heap_v3_fixed_heap as fixedHeap } from './gen/envoy/extensions/resource_monitors/fixed_heap/v3/fixed_heap_pb.js';
import { file_envoy_extensions_retry_host_previous_hosts_v3_previous_hosts as previousHosts } from './gen/envoy/extensions/retry/host/previous_hosts/v3/previous_hosts_pb.js';
import { file_envoy_extensions_transport_sockets_tls_v3_tls as tls } from './gen/envoy/extensions/transport_sockets/tls/v3/tls_pb.js';
import { file_envoy_extensions_upstreams_http_v3_http_protocol_options as upstreamHttp } from './gen/envoy/extensions/upstreams/http/v3/http_protocol_options_pb.js';

/**
 * Every Envoy message that our configuration puts into a `google.protobuf.Any`: what `fromJson` needs to read an
 * "@type". A message that is missing here makes encoding throw, never pass silently.
 */
export const envoyRegistry: Registry = createRegistry(
  fileLog,
  celFilter,
  grpcLog,
  streamLog,
  aiProtocolManager,
  cors,
  extProc,
  headerMutation,
  healthCheck,
  jwtAuthn,
  rbac,
  router,
  upstreamCodec,
  connectionManager,
  overrideHost,
  random,
  subset,
  fixedHeap,
  previousHosts,
  tls,
  upstreamHttp,
);
