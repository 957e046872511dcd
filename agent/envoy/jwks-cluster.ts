import { isIP } from 'node:net';
import type { ClusterJson } from '../../proto/gen/envoy/config/cluster/v3/cluster_pb.js';
import type { DataSourceJson, TransportSocketJson } from '../../proto/gen/envoy/config/core/v3/base_pb.js';
import { UpstreamTlsContextSchema } from '../../proto/gen/envoy/extensions/transport_sockets/tls/v3/tls_pb.js';
import type { JwtIssuer, Secret } from '../../proto/gen/fairlead/v1/table_pb.js';
import { duration, typedConfig } from './typed-config.ts';

const CONNECT_TIMEOUT_MS = 1_000;
/** Where Debian and its kin keep the authorities that they trust; our image too. */
const SYSTEM_AUTHORITIES = '/etc/ssl/certs/ca-certificates.crt';

/** Name of the cluster that leads to an issuer's keys; no model's has a space in its name. */
export function jwksClusterName(issuer: string): string {
  return `jwks ${issuer}`;
}

/**
 * The cluster that leads to the keys of an issuer; undefined while the Secret with its authority is missing, as long as
 * which the keys cannot be fetched. The authority is part of the cluster: another one is another cluster, and nothing
 * that waits for an answer is lost by that.
 */
export function jwksCluster(
  { name, jwksUrl, ca }: JwtIssuer,
  secrets: ReadonlyMap<string, Secret>,
): ClusterJson | undefined {
  const authority = ca && secrets.get(ca.secret)?.data[ca.key];
  if (ca !== undefined && authority === undefined) return undefined;
  const url = new URL(jwksUrl);
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  const tls = url.protocol === 'https:';
  const port = Number(url.port) || (tls ? 443 : 80);
  const cluster = jwksClusterName(name);
  return {
    name: cluster,
    ...(isIP(host) ? { type: 'STATIC' } : RESOLVED),
    connectTimeout: duration(CONNECT_TIMEOUT_MS),
    loadAssignment: {
      clusterName: cluster,
      endpoints: [{ lbEndpoints: [{ endpoint: { address: { socketAddress: { address: host, portValue: port } } } }] }],
    },
    ...(tls && { transportSocket: upstreamTls(host, trusted(authority)) }),
  };
}

/** A name that cannot be resolved holds up nothing, and one with two kinds of address is asked at both. */
const RESOLVED: ClusterJson = { type: 'LOGICAL_DNS', dnsLookupFamily: 'ALL', waitForWarmOnInit: false };

function trusted(authority: Uint8Array | undefined): DataSourceJson {
  if (authority === undefined) return { filename: SYSTEM_AUTHORITIES };
  return { inlineBytes: Buffer.from(authority).toString('base64') };
}

function upstreamTls(host: string, trustedCa: DataSourceJson): TransportSocketJson {
  const address = isIP(host) !== 0;
  return {
    name: 'envoy.transport_sockets.tls',
    typedConfig: typedConfig(UpstreamTlsContextSchema, {
      // An address is never asked for by name: https://www.rfc-editor.org/rfc/rfc6066#section-3
      ...(!address && { sni: host }),
      commonTlsContext: {
        validationContext: {
          trustedCa,
          matchTypedSubjectAltNames: [{ sanType: address ? 'IP_ADDRESS' : 'DNS', matcher: { exact: host } }],
        },
      },
    }),
  };
}
