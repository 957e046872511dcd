import type { RouteMatchJson } from '../../proto/gen/envoy/config/route/v3/route_components_pb.js';
import {
  JwtAuthenticationSchema,
  type JwtProviderJson,
  type JwtRequirementJson,
} from '../../proto/gen/envoy/extensions/filters/http/jwt_authn/v3/config_pb.js';
import type { HttpFilterJson } from '../../proto/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { type Authentication, AuthenticationMode, type JwtIssuer } from '../../proto/gen/fairlead/v1/table_pb.js';
import { jwksClusterName } from './jwks-cluster.ts';
import { duration, typedConfig } from './typed-config.ts';

/** How far a token's `exp` and `nbf` may be off by our clock, seconds; Envoy's default, named since users meet it. */
const CLOCK_SKEW_SECONDS = 60;
/**
 * How often keys are fetched. A token that names an unknown key fetches nothing, so that a new key is taken, and a
 * withdrawn one refused, this late at most.
 */
const JWKS_REFRESH_MS = 120_000;
/** While an issuer's keys cannot be fetched, those of the last time stay. */
const JWKS_RETRY_MS = 1_000;
/** A token whose issuer's keys were never fetched waits for them no longer than this. */
const JWKS_TIMEOUT_MS = 2_000;

/** The issuers whose tokens are asked for, none where the gateway asks for no token. */
export function tokenIssuers(authentication: Authentication | undefined): readonly JwtIssuer[] {
  const { mode, jwtIssuers = [] } = authentication ?? {};
  const asked =
    mode === AuthenticationMode.AUTHENTICATION_JWT || mode === AuthenticationMode.AUTHENTICATION_API_KEYS_OR_JWT;
  return asked ? jwtIssuers : [];
}

/**
 * Checks what looks like a token, and is answered 401 where it is none of these issuers'. All else is extproc's to
 * refuse, which gets claims from here only: an API key in the same header is not looked at.
 */
export function jwtFilter(issuers: readonly JwtIssuer[]): HttpFilterJson {
  const required: JwtRequirementJson[] = issuers.map(({ name }) => ({ providerName: name }));
  return {
    name: 'envoy.filters.http.jwt_authn',
    typedConfig: typedConfig(JwtAuthenticationSchema, {
      providers: Object.fromEntries(issuers.map(issuer => [issuer.name, provider(issuer)])),
      rules: [{ match: LOOKS_LIKE_A_TOKEN, requires: anyOf(required) }],
    }),
  };
}

/** Every token begins like this: it is Base64 of `{"`. */
const LOOKS_LIKE_A_TOKEN: RouteMatchJson = {
  prefix: '/',
  headers: [{ name: 'authorization', stringMatch: { prefix: 'Bearer eyJ' } }],
};

/** Envoy wants at least two in an "or". */
function anyOf(requirements: JwtRequirementJson[]): JwtRequirementJson {
  const [only, ...others] = requirements;
  return only && others.length === 0 ? only : { requiresAny: { requirements } };
}

function provider({ name, issuer, jwksUrl, audiences }: JwtIssuer): JwtProviderJson {
  return {
    issuer,
    audiences,
    requireExpiration: true,
    clockSkewSeconds: CLOCK_SKEW_SECONDS,
    // Nowhere else, and no further: neither extproc nor a pod needs the token.
    fromHeaders: [{ name: 'authorization', valuePrefix: 'Bearer ' }],
    forward: false,
    payloadInMetadata: name,
    remoteJwks: {
      httpUri: { uri: jwksUrl, cluster: jwksClusterName(name), timeout: duration(JWKS_TIMEOUT_MS) },
      cacheDuration: duration(JWKS_REFRESH_MS),
      // Fetched ahead and in the background: an issuer that is away costs new keys, not the tokens of the known ones,
      // and holds up no listener. A listener that changes begins without any, and its first tokens wait for them.
      asyncFetch: { fastListener: true, failedRefetchDuration: duration(JWKS_RETRY_MS) },
    },
  };
}
