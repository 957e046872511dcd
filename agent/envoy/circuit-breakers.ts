import type { CircuitBreakersJson } from '../../proto/gen/envoy/config/cluster/v3/circuit_breaker_pb.js';

const NO_CAP = 1_000_000;

/**
 * Circuit breakers that never open. Load is limited where it is counted per model and caller: in extproc. Envoy's own
 * defaults (1,024 requests, 3 retries at a time) would fail requests that were picked and could be retried.
 */
export const NO_CAPS: CircuitBreakersJson = {
  thresholds: [{ maxConnections: NO_CAP, maxPendingRequests: NO_CAP, maxRequests: NO_CAP, maxRetries: NO_CAP }],
};
