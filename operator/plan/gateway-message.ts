import { hash } from 'node:crypto';
import { create } from '@bufbuild/protobuf';
import { durationMs } from '../../crds/duration.ts';
import type { InferenceGatewaySpec } from '../../crds/inference-gateway.ts';
import {
  AuthenticationMode,
  type Gateway,
  GatewaySchema,
  OnStoreFailure,
  TlsVersion,
  Validation,
} from '../../proto/gen/fairlead/v1/table_pb.js';
import { objectKey } from '../source/cluster-state.ts';
import { limitMessages } from './limit-message.ts';
import { tlsSecretName } from './listener-certificates.ts';

type TokenIssuer = InferenceGatewaySpec['authentication']['jwt'][number];

/** What depends on how Fairlead is started. */
export interface PlanOptions {
  /** `fairlead up` on one machine: what asks nobody for a name is only bound to this machine. */
  readonly standalone: boolean;
}

const LOOPBACK = '127.0.0.1';
const EVERYWHERE = '0.0.0.0';

/** Of a digest of 256 bits, enough that no two share them. */
const ISSUER_NAME_DIGITS = 32;

const VALIDATION = { off: Validation.OFF, basic: Validation.BASIC, strict: Validation.STRICT } as const;

const TLS_VERSION = { '1.2': TlsVersion.TLS_VERSION_1_2, '1.3': TlsVersion.TLS_VERSION_1_3 } as const;

const AUTHENTICATION = {
  none: AuthenticationMode.AUTHENTICATION_NONE,
  apiKeys: AuthenticationMode.AUTHENTICATION_API_KEYS,
  jwt: AuthenticationMode.AUTHENTICATION_JWT,
  apiKeysOrJwt: AuthenticationMode.AUTHENTICATION_API_KEYS_OR_JWT,
} as const;

const ON_STORE_FAILURE = {
  local: OnStoreFailure.LOCAL,
  deny: OnStoreFailure.DENY,
  allow: OnStoreFailure.ALLOW,
} as const;

/** The gateway as the table carries it; `namespace` is its own. */
export function gatewayMessage(spec: InferenceGatewaySpec, namespace: string, { standalone }: PlanOptions): Gateway {
  const open = standalone && spec.authentication.mode === 'none' ? LOOPBACK : EVERYWHERE;
  return create(GatewaySchema, {
    listeners: spec.listeners.map(({ name, port, address = open, tls }) => ({
      ...{ name, port, address },
      ...(tls && { tls: { secret: tlsSecretName(namespace, tls), minVersion: TLS_VERSION[tls.minVersion] } }),
    })),
    adminAddress: spec.admin.address ?? (standalone ? LOOPBACK : EVERYWHERE),
    adminPort: spec.admin.port,
    maxBodyBytes: spec.maxBodyBytes,
    modelHeaders: spec.modelHeaders.map(name => name.toLowerCase()),
    validation: VALIDATION[spec.validation],
    explainAllowed: spec.explain.allow ?? standalone,
    endpointMetrics: spec.admin.endpointLabels,
    clientHeadersMs: durationMs(spec.clientTimeouts.headers),
    clientUploadMs: durationMs(spec.clientTimeouts.upload),
    corsAllowOrigins: spec.cors.allowOrigins,
    authentication: {
      mode: AUTHENTICATION[spec.authentication.mode],
      jwtIssuers: spec.authentication.jwt.map(jwt => ({
        ...{ name: tokenIssuerName(jwt), issuer: jwt.issuer, jwksUrl: jwt.jwksUrl, audiences: [...jwt.audiences] },
        ...{ consumerClaim: jwt.consumerClaim ?? '', ...secretKey('ca', namespace, jwt.ca?.secretRef) },
      })),
    },
    hideForbiddenModels: spec.hideForbiddenModels,
    limits: limitMessages(spec.limits.rules),
    anonymousLimits: limitMessages(spec.anonymous?.limits ?? []),
    limitStore: {
      onFailure: ON_STORE_FAILURE[spec.limits.onStoreFailure],
      timeoutMs: durationMs(spec.limits.timeout),
      ...(spec.limits.valkey && { valkey: valkeyMessage(spec.limits.valkey, namespace) }),
    },
  });
}

/**
 * Envoy tells the claims of a token under this name, by what it knew when the connection was made. So it changes with
 * all that a token is verified by: what passed by other keys, or for another audience, is not taken for verified.
 */
function tokenIssuerName({ issuer, jwksUrl, audiences, ca }: TokenIssuer): string {
  const verifiedBy = JSON.stringify([issuer, jwksUrl, audiences.toSorted(), ca?.secretRef]);
  return `jwt-${hash('sha256', verifiedBy).slice(0, ISSUER_NAME_DIGITS)}`;
}

function valkeyMessage(
  { url, username = '', secretRef, ca, cluster }: NonNullable<InferenceGatewaySpec['limits']['valkey']>,
  namespace: string,
) {
  return {
    ...{ url: url.replace(/^redis/, 'valkey'), username, cluster },
    ...secretKey('password', namespace, secretRef),
    ...secretKey('ca', namespace, ca?.secretRef),
  };
}

/** The field with a reference to a value of a Secret of the table; nothing where there is none. */
function secretKey<Field extends string>(
  field: Field,
  namespace: string,
  secretRef: { readonly name: string; readonly key: string } | undefined,
): { [F in Field]?: { secret: string; key: string } } {
  if (secretRef === undefined) return {};
  const { name, key } = secretRef;
  return { [field]: { secret: objectKey({ namespace, name }), key } } as {
    [F in Field]: { secret: string; key: string };
  };
}
