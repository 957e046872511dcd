import { X509Certificate } from 'node:crypto';
import { create } from '@bufbuild/protobuf';
import type { InferenceGatewaySpec } from '../../crds/inference-gateway.ts';
import { type Secret, SecretSchema } from '../../proto/gen/fairlead/v1/table_pb.js';
import { type ClusterState, type Declared, objectKey } from '../source/cluster-state.ts';
import { type SecretValue, secretValue } from './secret-value.ts';

/** A single value of a Secret that a gateway refers to: a password, or authorities. */
export interface GatewayReference {
  /** "<namespace>/<name>" of the InferenceGateway. */
  readonly gateway: string;
  /** What it is for, for people. */
  readonly purpose: string;
  /** The field that refers to the Secret. */
  readonly path: readonly (string | number)[];
  /** "<namespace>/<name>" */
  readonly secret: string;
  readonly problem: string | undefined;
}

/** The Secrets with single values that a gateway needs, by their names in the table, and what became of each reference. */
export function gatewayReferences(
  gateway: Declared<InferenceGatewaySpec>,
  contents: ClusterState['secrets'],
): { readonly secrets: ReadonlyMap<string, Secret>; readonly references: readonly GatewayReference[] } {
  const { namespace } = gateway;
  const { authentication, limits } = gateway.spec;
  const secrets = new Map<string, Secret>();
  const references: GatewayReference[] = [];
  const refer = (
    purpose: string,
    path: GatewayReference['path'],
    secretRef: SecretRef | undefined,
    check: (value: SecretValue, key: string) => SecretValue,
  ) => {
    if (secretRef === undefined) return;
    const secret = objectKey({ namespace, name: secretRef.name });
    const { value, problem } = check(secretValue(contents.get(secret), secretRef.key), secretRef.key);
    if (value !== undefined) {
      const data = { ...secrets.get(secret)?.data, [secretRef.key]: value };
      secrets.set(secret, create(SecretSchema, { data }));
    }
    references.push({ gateway: objectKey(gateway), purpose, path: ['spec', ...path, 'secretRef'], secret, problem });
  };
  for (const [index, { issuer, ca }] of authentication.jwt.entries()) {
    refer(`authorities of ${issuer}`, ['authentication', 'jwt', index, 'ca'], ca?.secretRef, asAuthorities);
  }
  refer('password of the limit store', ['limits', 'valkey'], limits.valkey?.secretRef, asItIs);
  refer('authorities of the limit store', ['limits', 'valkey', 'ca'], limits.valkey?.ca?.secretRef, asAuthorities);
  return { secrets, references };
}

interface SecretRef {
  readonly name: string;
  readonly key: string;
}

const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

function asItIs(value: SecretValue): SecretValue {
  return value;
}

function asAuthorities(stored: SecretValue, key: string): SecretValue {
  if (stored.value === undefined) return stored;
  const blocks = Buffer.from(stored.value).toString('latin1').match(PEM_CERTIFICATE) ?? [];
  return blocks.length > 0 && blocks.every(isCertificate)
    ? stored
    : { problem: `"${key}" holds no certificate in PEM` };
}

function isCertificate(pem: string): boolean {
  try {
    return new X509Certificate(pem).raw.length > 0;
  } catch {
    return false;
  }
}
