import { HealthCheckSchema } from '../../proto/gen/envoy/extensions/filters/http/health_check/v3/health_check_pb.js';
import type { HttpFilterJson } from '../../proto/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { typedConfig } from './typed-config.ts';

/** Paths by which load balancers and the kubelet ask whether the gateway takes requests; extproc answers them. */
const READY_PATHS = '/(readyz|health)/?(\\?.*)?';

/**
 * While Envoy drains (its admin's /healthcheck/fail), "not ready" is its own answer: extproc, which knows of no
 * draining, is not asked. Every other request is served as ever.
 */
export function unreadyWhenDraining(): HttpFilterJson {
  return {
    name: 'readiness',
    typedConfig: typedConfig(HealthCheckSchema, {
      passThroughMode: true,
      headers: [{ name: ':path', stringMatch: { safeRegex: { regex: READY_PATHS } } }],
    }),
  };
}
