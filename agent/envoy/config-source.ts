import type { ConfigSourceJson } from '../../proto/gen/envoy/config/core/v3/config_source_pb.js';
import { duration } from './typed-config.ts';

/** "By ADS, from the agent beside you."
 *
 * @param fetchTimeoutMs how long the first answer may take before Envoy goes on without; 0 waits for ever
 */
export function fromAgent(fetchTimeoutMs: number): ConfigSourceJson {
  return { ads: {}, resourceApiVersion: 'V3', initialFetchTimeout: duration(fetchTimeoutMs) };
}
