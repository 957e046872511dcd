import type { TransportSocketJson } from '../../proto/gen/envoy/config/core/v3/base_pb.js';
import type { TlsParameters_TlsProtocolJson } from '../../proto/gen/envoy/extensions/transport_sockets/tls/v3/common_pb.js';
import type { SecretJson } from '../../proto/gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import { DownstreamTlsContextSchema } from '../../proto/gen/envoy/extensions/transport_sockets/tls/v3/tls_pb.js';
import { type ListenerTls, type Secret, TlsVersion } from '../../proto/gen/fairlead/v1/table_pb.js';
import { TLS_CERTIFICATE, TLS_PRIVATE_KEY } from '../../proto/secret-keys.ts';
import { fromAgent } from './config-source.ts';
import { typedConfig } from './typed-config.ts';

/** In order of preference, for ALPN: https://www.iana.org/assignments/tls-extensiontype-values */
const PROTOCOLS = ['h2', 'http/1.1'];

const MIN_VERSION: Readonly<Record<TlsVersion, TlsParameters_TlsProtocolJson>> = {
  [TlsVersion.TLS_VERSION_UNSPECIFIED]: 'TLSv1_2',
  [TlsVersion.TLS_VERSION_1_2]: 'TLSv1_2',
  [TlsVersion.TLS_VERSION_1_3]: 'TLSv1_3',
};

/** TLS of a listener. It only names its certificate: a new one is a new secret, and connections stay as they are. */
export function downstreamTls({ secret, minVersion }: ListenerTls): TransportSocketJson {
  return {
    name: 'envoy.transport_sockets.tls',
    typedConfig: typedConfig(DownstreamTlsContextSchema, {
      commonTlsContext: {
        tlsParams: { tlsMinimumProtocolVersion: MIN_VERSION[minVersion] },
        alpnProtocols: PROTOCOLS,
        // Never waits in vain: a listener is not told of before its secret is there.
        tlsCertificateSdsSecretConfigs: [{ name: secret, sdsConfig: fromAgent(0) }],
      },
    }),
  };
}

/** A certificate and its key, in memory all the way. */
export function tlsCertificate(name: string, { data }: Secret): SecretJson {
  return {
    name,
    tlsCertificate: {
      certificateChain: { inlineBytes: base64(data[TLS_CERTIFICATE]) },
      privateKey: { inlineBytes: base64(data[TLS_PRIVATE_KEY]) },
    },
  };
}

function base64(bytes: Uint8Array | undefined): string {
  return Buffer.from(bytes ?? []).toString('base64');
}
