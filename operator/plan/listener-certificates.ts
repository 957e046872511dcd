import type { InferenceGatewaySpec } from '../../crds/inference-gateway.ts';
import type { Secret } from '../../proto/gen/fairlead/v1/table_pb.js';
import { type ClusterState, type Declared, objectKey } from '../source/cluster-state.ts';
import { readTlsSecret } from './tls-secret.ts';

/** The certificate of a listener: good until a time, or why there is none. */
export interface ListenerCertificate {
  /** "<namespace>/<name>" of the InferenceGateway. */
  readonly gateway: string;
  readonly listener: string;
  /** The field that names the Secret. */
  readonly path: readonly (string | number)[];
  /** "<namespace>/<name>" */
  readonly secret: string;
  /** The end of its validity, milliseconds since the epoch; undefined where there is a problem. */
  readonly notAfterMs: number | undefined;
  readonly problem: string | undefined;
}

/** The Secrets that the listeners of a gateway need, by their names in the table, and what became of each listener. */
export function listenerCertificates(
  gateway: Declared<InferenceGatewaySpec>,
  contents: ClusterState['secrets'],
): { readonly secrets: ReadonlyMap<string, Secret>; readonly certificates: readonly ListenerCertificate[] } {
  const secrets = new Map<string, Secret>();
  const certificates: ListenerCertificate[] = [];
  for (const [index, { name: listener, tls }] of gateway.spec.listeners.entries()) {
    if (tls === undefined) continue;
    const secret = tlsSecretName(gateway.namespace, tls);
    const content = contents.get(secret);
    const { secret: message, notAfterMs, problem } = readTlsSecret(content ?? UNREAD);
    if (message !== undefined) secrets.set(secret, message);
    const path = ['spec', 'listeners', index, 'tls', 'secretRef', 'name'];
    certificates.push({ gateway: objectKey(gateway), listener, path, secret, notAfterMs, problem });
  }
  return { secrets, certificates };
}

const UNREAD = { failure: 'not read yet' } as const;

/** The name in the table of the Secret that a listener of a gateway in `namespace` refers to. */
export function tlsSecretName(
  namespace: string,
  tls: NonNullable<InferenceGatewaySpec['listeners'][number]['tls']>,
): string {
  return objectKey({ namespace, name: tls.secretRef.name });
}
