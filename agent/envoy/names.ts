/** What the parts of Envoy's configuration call each other. What extproc must call the same: proto/exchange-names.ts. */

/** Static cluster that leads to the ext_proc service. */
export const EXT_PROC_CLUSTER = 'xp';
/** Static cluster that leads to the access log service; a connection of its own, so that logs never delay picks. */
export const ACCESS_LOG_CLUSTER = 'als';
/** Static cluster that leads to the agent's ADS. */
export const ADS_CLUSTER = 'agent';

/** The one route configuration, shared by all listeners. */
export const ROUTE_CONFIGURATION = 'gateway';

/** Metadata of an endpoint: pod, backend. */
export const ENDPOINT_NAMESPACE = 'fairlead';

/** Filter instances that routes configure by name. */
export const CORS_FILTER = 'envoy.filters.http.cors';
export const EXT_PROC_FILTER = 'envoy.filters.http.ext_proc';
export const ADMITTED_FILTER = 'admitted';
export const USAGE_FILTER = 'ai_usage';
