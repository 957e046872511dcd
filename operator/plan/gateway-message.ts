import { create } from '@bufbuild/protobuf';
import { durationMs } from '../../crds/duration.ts';
import type { InferenceGatewaySpec } from '../../crds/inference-gateway.ts';
import { type Gateway, GatewaySchema, TlsVersion, Validation } from '../../proto/gen/fairlead/v1/table_pb.js';
import { tlsSecretName } from './listener-certificates.ts';

/** What depends on how Fairlead is started. */
export interface PlanOptions {
  /** `fairlead up` on one machine: what asks nobody for a name is only bound to this machine. */
  readonly standalone: boolean;
}

const LOOPBACK = '127.0.0.1';
const EVERYWHERE = '0.0.0.0';

const VALIDATION = { off: Validation.OFF, basic: Validation.BASIC, strict: Validation.STRICT } as const;

const TLS_VERSION = { '1.2': TlsVersion.TLS_VERSION_1_2, '1.3': TlsVersion.TLS_VERSION_1_3 } as const;

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
  });
}
