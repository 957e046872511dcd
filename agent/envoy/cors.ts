import type { AnyJson } from '@bufbuild/protobuf/wkt';
import type { HeaderValueOptionJson } from '../../proto/gen/envoy/config/core/v3/base_pb.js';
import { CorsPolicySchema, CorsSchema } from '../../proto/gen/envoy/extensions/filters/http/cors/v3/cors_pb.js';
import type { HttpFilterJson } from '../../proto/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import type { StringMatcherJson } from '../../proto/gen/envoy/type/matcher/v3/string_pb.js';
import { CORS_FILTER } from './names.ts';
import { typedConfig } from './typed-config.ts';

/** How long a browser may remember a preflight, seconds: the longest that Chrome does. */
const MAX_AGE_S = 7_200;

/**
 * `*` covers what SDKs add of their own (`x-stainless-*`, `anthropic-*`), but never Authorization, which has to be
 * named: https://fetch.spec.whatwg.org/#cors-non-wildcard-request-header-name
 */
const ALLOWED_HEADERS = ['authorization', '*'];

/** What a page may read of an answer besides its body and content type (api.md §2). */
const EXPOSED_HEADERS = [
  'x-request-id',
  ...['model', 'backend', 'endpoint', 'explain'].map(fact => `x-fairlead-${fact}`),
  ...['limit', 'remaining', 'reset'].flatMap(what => [`x-ratelimit-${what}-requests`, `x-ratelimit-${what}-tokens`]),
  'retry-after',
];

/**
 * Answers preflights, and adds to every answer behind it, also an error, what lets the page read it. Does nothing where
 * the routes have no policy: it is always there, so that naming an origin changes routes and never a listener, which
 * would drain its connections.
 */
export function cors(): HttpFilterJson {
  return { name: CORS_FILTER, typedConfig: typedConfig(CorsSchema, {}) };
}

/** What the routes say to the filter; nothing where no origin is allowed. */
export function corsPolicy(allowOrigins: readonly string[]): Readonly<Record<string, AnyJson>> {
  if (allowOrigins.length === 0) return {};
  const policy = typedConfig(CorsPolicySchema, {
    allowOriginStringMatch: allowOrigins.map(matcher),
    allowMethods: 'GET, POST, OPTIONS',
    allowHeaders: ALLOWED_HEADERS.join(', '),
    exposeHeaders: EXPOSED_HEADERS.join(', '),
    maxAge: String(MAX_AGE_S),
    // Else a preflight of another origin would be taken for a request.
    forwardNotMatchingPreflights: false,
  });
  return { [CORS_FILTER]: policy };
}

/** The answer names one origin, so that a cache must not give it to another. */
export function varyByOrigin(allowOrigins: readonly string[]): HeaderValueOptionJson[] {
  if (allowOrigins.length === 0) return [];
  return [{ header: { key: 'vary', value: 'origin' }, appendAction: 'APPEND_IF_EXISTS_OR_ADD' }];
}

/** `https://*.a.example` is every host below a.example, at any depth. */
function matcher(origin: string): StringMatcherJson {
  const [scheme, host] = origin.split('*.', 2);
  if (scheme === undefined || host === undefined) return { exact: origin };
  return { safeRegex: { regex: `${literal(scheme)}([a-z0-9_-]+[.])+${literal(host)}` } };
}

/** Text for RE2 that stands for itself. */
function literal(text: string): string {
  return text.replaceAll(/[^A-Za-z0-9]/g, '\\$&');
}
