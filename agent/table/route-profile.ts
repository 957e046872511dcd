import type { Model } from '../../proto/gen/fairlead/v1/table_pb.js';

/**
 * Name of what Envoy's route of a model depends on, such as "r600000-h60000-i60000-a2": milliseconds for request,
 * headers and idle (0: none), and further attempts. The picker writes it into `x-fairlead-route` and Envoy's routes
 * match on it, so that models with the same timeouts share one route.
 */
export function routeProfile(model: Model): string {
  const { requestMs = 0, headersMs = 0, idleMs = 0 } = model.timeouts ?? {};
  return `r${requestMs}-h${headersMs}-i${idleMs}-a${model.retryAttempts}`;
}
