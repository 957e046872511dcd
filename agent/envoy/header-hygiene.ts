import { AUTHENTICATION_HEADER, CLUSTER_HEADER, OWN_HEADER_PREFIX, ROUTE_HEADER } from '../../proto/exchange-names.ts';
import type { HeaderMutationJson } from '../../proto/gen/envoy/config/common/mutation_rules/v3/mutation_rules_pb.js';
import {
  HeaderMutationSchema,
  type MutationsJson,
} from '../../proto/gen/envoy/extensions/filters/http/header_mutation/v3/header_mutation_pb.js';
import type { HttpFilterJson } from '../../proto/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { AuthenticationMode } from '../../proto/gen/fairlead/v1/table_pb.js';
import { typedConfig } from './typed-config.ts';

/** The `x-fairlead-*` headers that clients may send (api.md §2); every other is the gateway's own. */
const CLIENT_HEADERS = ['explain', 'ttft-ms', 'tpot-ms'] as const;
/** Headers by which something inside is steered: never from a client. */
const INTERNAL_PREFIXES = [OWN_HEADER_PREFIX, 'x-envoy-', 'x-gateway-destination-', 'target-pod'] as const;

/**
 * First filter of all: takes away what a client may not say. Header mutation can only remove a whole prefix, so the
 * few allowed headers wait under another name meanwhile; one that is absent stays absent, since a header whose value
 * comes out empty is not added.
 *
 * @param authentication whom the listener asks who they are, which extproc is told where it does
 */
export function stripFromClient(authentication: AuthenticationMode): HttpFilterJson {
  const parked = CLIENT_HEADERS.map(name => `fl-${name}`);
  const requestMutations = [
    ...parked.map(remove),
    ...CLIENT_HEADERS.map(name => copy(OWN_HEADER_PREFIX + name, `fl-${name}`)),
    ...INTERNAL_PREFIXES.map(removePrefix),
    ...CLIENT_HEADERS.map(name => copy(`fl-${name}`, OWN_HEADER_PREFIX + name)),
    ...parked.map(remove),
    ...(asks(authentication) ? [set(AUTHENTICATION_HEADER, String(authentication))] : []),
  ];
  return mutate('strip', { requestMutations });
}

/** Where nobody may call, as long as that is so, extproc lets nobody pass. */
function asks(authentication: AuthenticationMode): boolean {
  const { AUTHENTICATION_NONE, AUTHENTICATION_MODE_UNSPECIFIED } = AuthenticationMode;
  return authentication !== AUTHENTICATION_NONE && authentication !== AUTHENTICATION_MODE_UNSPECIFIED;
}

/** How callers prove who they are, to the gateway or to others of its origin; no pod's business. */
const CREDENTIALS = ['authorization', 'x-api-key', 'cookie'] as const;

/**
 * After extproc has read them: what a client said to steer the gateway. A pod that is a gateway itself would take it
 * for its own, and refuse a model header that says another name than the body does by now.
 *
 * @param modelHeaders request headers that may name the model
 */
export function stripSteering(modelHeaders: readonly string[]): HttpFilterJson {
  return mutate('steering_strip', { requestMutations: [...modelHeaders, 'routing-strategy'].map(remove) });
}

/**
 * Headers by which an answer would speak for the gateway, or steer it: Envoy's router obeys some, engines allow all
 * origins, and a limit of theirs is none of the caller's. Never from a pod.
 */
const GATEWAY_PREFIXES = [OWN_HEADER_PREFIX, 'x-envoy-', 'access-control-', 'x-ratelimit-'] as const;

/**
 * In the upstream chain: what is not for the pod, and of its answer what is not for it to say; the gateway's own
 * headers are added after. Compressed answers would hide their token usage from Envoy.
 */
export function stripAtPod(): HttpFilterJson {
  const ours = [
    CLUSTER_HEADER,
    ROUTE_HEADER,
    AUTHENTICATION_HEADER,
    ...CLIENT_HEADERS.map(name => OWN_HEADER_PREFIX + name),
  ];
  return mutate('upstream_strip', {
    requestMutations: ['accept-encoding', ...CREDENTIALS, ...ours].map(remove),
    responseMutations: GATEWAY_PREFIXES.map(removePrefix),
  });
}

function mutate(name: string, mutations: MutationsJson): HttpFilterJson {
  return { name, typedConfig: typedConfig(HeaderMutationSchema, { mutations }) };
}

function remove(name: string): HeaderMutationJson {
  return { remove: name };
}

function removePrefix(prefix: string): HeaderMutationJson {
  return { removeOnMatch: { keyMatcher: { prefix } } };
}

function copy(from: string, to: string): HeaderMutationJson {
  return set(to, `%REQ(${from})%`);
}

function set(key: string, value: string): HeaderMutationJson {
  return { append: { header: { key, value }, appendAction: 'OVERWRITE_IF_EXISTS_OR_ADD' } };
}
