import type { ClusterJson } from '../../proto/gen/envoy/config/cluster/v3/cluster_pb.js';
import type { AddressJson } from '../../proto/gen/envoy/config/core/v3/address_pb.js';
import { HttpProtocolOptionsSchema } from '../../proto/gen/envoy/extensions/upstreams/http/v3/http_protocol_options_pb.js';
import { NO_CAPS } from './circuit-breakers.ts';
import { typedConfig } from './typed-config.ts';

/**
 * Streams of one connection. Otherwise Envoy opens another connection at every 1,024 open exchanges
 * (envoy-failover.md F: with this and the control frame cap raised, one connection per worker carries all).
 */
const MAX_CONCURRENT_STREAMS = 100_000;
/** Of one connection; the default of 1,000 drops the connection when that many exchanges end together. */
const MAX_OUTBOUND_CONTROL_FRAMES = 1_000_000;

/** A static cluster of one gRPC server on a Unix socket: our own services beside Envoy. */
export function grpcTarget(name: string, socketPath: string): ClusterJson {
  return {
    name,
    type: 'STATIC',
    connectTimeout: '1s',
    circuitBreakers: NO_CAPS,
    loadAssignment: {
      clusterName: name,
      endpoints: [{ lbEndpoints: [{ endpoint: { address: pipe(socketPath) } }] }],
    },
    typedExtensionProtocolOptions: {
      [HttpProtocolOptionsSchema.typeName]: typedConfig(HttpProtocolOptionsSchema, {
        explicitHttpConfig: {
          http2ProtocolOptions: {
            maxConcurrentStreams: MAX_CONCURRENT_STREAMS,
            maxOutboundControlFrames: MAX_OUTBOUND_CONTROL_FRAMES,
          },
        },
      }),
    },
  };
}

/** A Unix socket as an address. */
export function pipe(path: string): AddressJson {
  return { pipe: { path } };
}
