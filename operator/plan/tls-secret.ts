import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { create } from '@bufbuild/protobuf';
import { type Secret, SecretSchema } from '../../proto/gen/fairlead/v1/table_pb.js';
import { TLS_CERTIFICATE, TLS_PRIVATE_KEY } from '../../proto/secret-keys.ts';
import type { SecretContent } from '../source/cluster-state.ts';

/** A certificate with its key as the table carries it, or why what a Secret holds is none. */
export type TlsSecret =
  | { readonly secret: Secret; readonly notAfterMs: number; readonly problem?: never }
  | { readonly secret?: never; readonly notAfterMs?: never; readonly problem: string };

const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;
/** Envoy 1.40.0 refuses weaker RSA and other curves; it would take Ed25519, which no browser does. */
const MIN_RSA_BITS = 2_048;
const CURVES: readonly string[] = ['prime256v1', 'secp384r1', 'secp521r1'];

/** Contents are immutable: what one gave once is remembered with it, and parsing costs more than all of a small plan. */
const known = new WeakMap<SecretContent, TlsSecret>();

/** Checks what a Secret holds for a listener. Whether it has expired is for who has a clock. */
export function readTlsSecret(content: SecretContent): TlsSecret {
  const before = known.get(content);
  if (before !== undefined) return before;
  const read = content.data === undefined ? { problem: content.failure } : readData(content.data);
  known.set(content, read);
  return read;
}

function readData(data: Readonly<Record<string, Uint8Array>>): TlsSecret {
  const chain = data[TLS_CERTIFICATE];
  const key = data[TLS_PRIVATE_KEY];
  if (chain === undefined) return { problem: `no key "${TLS_CERTIFICATE}"` };
  if (key === undefined) return { problem: `no key "${TLS_PRIVATE_KEY}"` };
  const certificates = readCertificates(chain);
  if (typeof certificates === 'string') return { problem: certificates };
  const privateKey = readPrivateKey(key);
  if (typeof privateKey === 'string') return { problem: privateKey };
  const [leaf, ...others] = certificates;
  if (leaf?.checkPrivateKey(privateKey) !== true) {
    const later = others.some(certificate => certificate.checkPrivateKey(privateKey));
    return {
      problem: later ? `the certificate of "${TLS_PRIVATE_KEY}" must come first in "${TLS_CERTIFICATE}"` : MISMATCH,
    };
  }
  const secret = create(SecretSchema, { data: { [TLS_CERTIFICATE]: chain, [TLS_PRIVATE_KEY]: key } });
  return { secret, notAfterMs: leaf.validToDate.getTime() };
}

const MISMATCH = `the certificate in "${TLS_CERTIFICATE}" does not match the key in "${TLS_PRIVATE_KEY}"`;

function readCertificates(bytes: Uint8Array): X509Certificate[] | string {
  const blocks = Buffer.from(bytes).toString('latin1').match(PEM_CERTIFICATE) ?? [];
  if (blocks.length === 0) return `"${TLS_CERTIFICATE}" holds no certificate in PEM`;
  const certificates: X509Certificate[] = [];
  for (const [index, block] of blocks.entries()) {
    try {
      certificates.push(new X509Certificate(block));
    } catch {
      return `certificate ${index + 1} in "${TLS_CERTIFICATE}" cannot be read`;
    }
  }
  return certificates;
}

function readPrivateKey(bytes: Uint8Array): KeyObject | string {
  const pem = Buffer.from(bytes);
  if (pem.includes('ENCRYPTED')) return `"${TLS_PRIVATE_KEY}" is encrypted: store it without a passphrase`;
  let key: KeyObject;
  try {
    key = createPrivateKey({ key: pem, format: 'pem' });
  } catch {
    return `"${TLS_PRIVATE_KEY}" holds no private key in PEM`;
  }
  const { modulusLength = 0, namedCurve = '' } = key.asymmetricKeyDetails ?? {};
  const usable = key.asymmetricKeyType === 'rsa' ? modulusLength >= MIN_RSA_BITS : CURVES.includes(namedCurve);
  return usable
    ? key
    : `"${TLS_PRIVATE_KEY}" must be RSA of ${MIN_RSA_BITS} bits or more, or ECDSA P-256, P-384 or P-521`;
}
