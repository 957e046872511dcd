import { CLUSTER_HEADER, type RateLimitFact, ROUTE_HEADER } from '../../proto/exchange-names.ts';
import type { HeaderValueOptionJson } from '../../proto/gen/envoy/config/core/v3/base_pb.js';
import type { RouteActionJson, RouteJson } from '../../proto/gen/envoy/config/route/v3/route_components_pb.js';
import type { RouteConfigurationJson } from '../../proto/gen/envoy/config/route/v3/route_pb.js';
import { ExtProcPerRouteSchema } from '../../proto/gen/envoy/extensions/filters/http/ext_proc/v3/ext_proc_pb.js';
import { RBACPerRouteSchema } from '../../proto/gen/envoy/extensions/filters/http/rbac/v3/rbac_pb.js';
import { PreviousHostsPredicateSchema } from '../../proto/gen/envoy/extensions/retry/host/previous_hosts/v3/previous_hosts_pb.js';
import type { Gateway, Model } from '../../proto/gen/fairlead/v1/table_pb.js';
import { routeProfile } from '../table/route-profile.ts';
import { READ_USAGE_AS_CHAT } from './cluster.ts';
import { corsPolicy, varyByOrigin } from './cors.ts';
import { ADMITTED_FILTER, ENDPOINT_NAMESPACE, EXT_PROC_FILTER, ROUTE_CONFIGURATION } from './names.ts';
import { exchangeFact } from './substitutions.ts';
import { duration, typedConfig } from './typed-config.ts';
import { type Waits, waits } from './waits.ts';

/** Endpoints whose answers carry token usage that Envoy does not recognise by itself (envoy.md C1). */
const UNDETECTED_USAGE_PREFIXES = ['/v1/embeddings', '/v1/completions'] as const;
/**
 * How much longer a request body may grow in extproc, by the upstream name of its model: Envoy counts the new body
 * against the same limit, and answers 413 to one that grew over it. Extproc holds clients to the limit itself.
 */
const REWRITE_ROOM_BYTES = 4_096;
/** Of a model that sets none, and of requests picked by a table that Envoy has no routes of yet. */
const DEFAULT_TIMEOUTS = { requestMs: 600_000, headersMs: 60_000, idleMs: 60_000 } as const;
/** Retries go to another endpoint, so there is nothing to wait for; Envoy wants more than zero. */
const RETRY_BACK_OFF = { baseInterval: '0.001s', maxInterval: '0.002s' } as const;

/**
 * The one route configuration. Before extproc has answered, every request is on the last route, which leads nowhere
 * without the header that names the cluster; the answer sets that, names the timeouts, and makes Envoy look again.
 *
 * @param limited whether anybody has a limit that callers are told of
 */
export function routeConfiguration(
  gateway: Gateway,
  models: Iterable<Model>,
  limited: boolean,
): RouteConfigurationJson {
  const profiles = new Map<string, Model>();
  for (const model of models) profiles.set(routeProfile(model), model);
  const routes = [...profiles].sort(([a], [b]) => (a < b ? -1 : 1)).flatMap(([name, model]) => forProfile(name, model));
  return {
    name: ROUTE_CONFIGURATION,
    virtualHosts: [
      {
        name: ROUTE_CONFIGURATION,
        domains: ['*'],
        // Else bodies above 1 MiB are neither shown to extproc nor kept for a retry (envoy.md D2, J).
        requestBodyBufferLimit: String(gateway.maxBodyBytes + REWRITE_ROOM_BYTES),
        responseHeadersToAdd: [
          ...RESPONSE_HEADERS.map(([name, value]) => responseHeader(name, value)),
          ...(limited ? RATE_LIMIT_HEADERS : []),
          ...varyByOrigin(gateway.corsAllowOrigins),
        ],
        typedPerFilterConfig: corsPolicy(gateway.corsAllowOrigins),
        routes: [LIVEZ, ...routes, UNDECIDED],
      },
    ],
  };
}

/** What the client learns about who answered. A value that does not exist is left out. */
const RESPONSE_HEADERS = [
  ['x-fairlead-model', exchangeFact('model')],
  ['x-fairlead-backend', exchangeFact('backend')],
  ['x-fairlead-endpoint', `%UPSTREAM_METADATA(${ENDPOINT_NAMESPACE}:pod)%`],
  ['x-fairlead-explain', exchangeFact('explain')],
] as const;

function responseHeader(key: string, value: string): HeaderValueOptionJson {
  return { header: { key, value }, appendAction: 'OVERWRITE_IF_EXISTS_OR_ADD' };
}

/** As OpenAI's clients read them: https://platform.openai.com/docs/guides/rate-limits#rate-limits-in-headers */
const RATE_LIMIT_HEADERS: readonly HeaderValueOptionJson[] = (['requests', 'tokens'] as const).flatMap(unit =>
  (['limit', 'remaining', 'reset'] as const).map(what => {
    const fact: RateLimitFact = `rl_${what}_${unit}`;
    return responseHeader(`x-ratelimit-${what}-${unit}`, exchangeFact(fact));
  }),
);

/** Answered by Envoy alone: alive means that this process is. */
const LIVEZ: RouteJson = {
  name: 'livez',
  match: { path: '/livez' },
  directResponse: { status: 200, body: { inlineString: '{"status":"ok"}' } },
  typedPerFilterConfig: {
    [EXT_PROC_FILTER]: typedConfig(ExtProcPerRouteSchema, { disabled: true }),
    [ADMITTED_FILTER]: typedConfig(RBACPerRouteSchema, {}),
  },
};

/** Where a request is until extproc has answered. */
const UNDECIDED: RouteJson = {
  name: 'undecided',
  match: { prefix: '/' },
  route: toCluster(waits(DEFAULT_TIMEOUTS, 0)),
};

function forProfile(profile: string, { timeouts, retryAttempts }: Model): RouteJson[] {
  const route = toCluster(waits(timeouts ?? DEFAULT_TIMEOUTS, retryAttempts));
  const headers = [{ name: ROUTE_HEADER, stringMatch: { exact: profile } }];
  const undetected = UNDETECTED_USAGE_PREFIXES.map(prefix => ({
    name: `${profile} ${prefix}`,
    match: { prefix, headers },
    route,
    typedPerFilterConfig: READ_USAGE_AS_CHAT,
  }));
  return [...undetected, { name: profile, match: { prefix: '/', headers }, route }];
}

function toCluster({ requestMs, streamIdleMs, attemptMs, attemptIdleMs }: Waits): RouteActionJson {
  return {
    clusterHeader: CLUSTER_HEADER,
    timeout: duration(requestMs),
    idleTimeout: duration(streamIdleMs),
    retryPolicy: {
      // No gateway-error: a pod's own 502 and 504 pass. `reset` also covers the timeout of an attempt.
      retryOn: 'connect-failure,refused-stream,reset-before-request,reset,retriable-status-codes',
      retriableStatusCodes: [429, 503],
      // extproc allows as many as it picked further endpoints, by x-envoy-max-retries.
      numRetries: 0,
      ...(attemptMs > 0 && { perTryTimeout: duration(attemptMs) }),
      ...(attemptIdleMs > 0 && { perTryIdleTimeout: duration(attemptIdleMs) }),
      retryBackOff: RETRY_BACK_OFF,
      retryHostPredicate: [
        {
          name: 'envoy.retry_host_predicates.previous_hosts',
          typedConfig: typedConfig(PreviousHostsPredicateSchema, {}),
        },
      ],
      hostSelectionRetryMaxAttempts: '3',
    },
  };
}
