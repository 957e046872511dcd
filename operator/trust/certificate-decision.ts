import { createPrivateKey, createPublicKey, type KeyObject, X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import { secureContextOptions } from './server-credentials.ts';

/** Certificates are renewed when this part of their life is over, as cert-manager does. */
const RENEWED_AFTER = 2 / 3;
/** Replicas do not renew at once: each waits up to this part of a certificate's life longer. */
const RENEWAL_SPREAD = 0.05;
/** Authorities that agents are told of at most: what a Secret may grow to. */
const MAX_AUTHORITIES = 8;

/** What the Secret holds, as PEM; empty where it holds nothing. */
export interface CertificateMaterial {
  /** All authorities that agents are to trust, the one that signs first. */
  readonly authorities: string;
  /** Key of the first authority. */
  readonly authorityKey: string;
  /** The server's certificate, and those between it and an authority. */
  readonly certificate: string;
  readonly key: string;
  /** We wrote `certificate`. */
  readonly ours: boolean;
}

/**
 * What is to become of it, and why:
 * - `keep`: serve it; `lacking` are wanted names that it is not for (in somebody else's certificate only)
 * - `certificate`: a new server certificate, by the authority that there is
 * - `authority`: a new authority, known to agents before it signs; the server certificate stays
 * - `everything`: nothing that is there can be built upon
 * - `unusable`: somebody else's cannot be served, and is theirs to mend
 */
export type CertificateDecision =
  | { readonly kind: 'keep'; readonly lacking: readonly string[] }
  | { readonly kind: 'certificate' | 'authority' | 'everything'; readonly reason: string }
  | { readonly kind: 'unusable'; readonly reason: string };

/**
 * Decides what to do with the content of the Secret.
 *
 * @param nowMs since the epoch
 * @param spread this replica's place among the others, from 0 to 1
 */
export function decideCertificate(
  material: CertificateMaterial,
  dnsNames: readonly string[],
  nowMs: number,
  spread: number,
): CertificateDecision {
  const flaw = serverFlaw(material, nowMs);
  if (!material.ours) return decideForeign(material, dnsNames, flaw);
  const authority = authorityFlaw(material, nowMs);
  const lacking = flaw === undefined ? lackingNames(material.certificate, dnsNames) : [];
  const [server] = readCertificates(material.certificate);
  const [signer] = readCertificates(material.authorities);
  const wanted = wantedReason(flaw, lacking, server !== undefined && isDue(server, nowMs, spread));
  if (wanted !== undefined && authority !== undefined) return { kind: 'everything', reason: `${wanted}; ${authority}` };
  if (wanted !== undefined) return { kind: 'certificate', reason: wanted };
  if (authority !== undefined) return { kind: 'authority', reason: authority };
  // A server certificate that was just made lasts until agents know the new authority.
  if (signer && isDue(signer, nowMs, spread)) return { kind: 'authority', reason: 'the authority is due for renewal' };
  return { kind: 'keep', lacking: [] };
}

/** Authorities that agents shall trust when `newest` signs: those that still hold stay, for certificates in use. */
export function joinAuthorities(newest: string, before: string, nowMs: number): string {
  const others = readCertificates(before).filter(one => isCurrent(one, nowMs));
  const all = new Set([newest, ...others.map(one => one.toString())].map(one => `${one.trim()}\n`));
  return [...all].slice(0, MAX_AUTHORITIES).join('');
}

/** The first of the authorities, which signs. */
export function signingAuthority({ authorities, authorityKey }: CertificateMaterial) {
  return { certificate: `${readCertificates(authorities)[0] ?? ''}`, key: authorityKey };
}

/** The certificates of a PEM file that can be read. */
export function readCertificates(pem: string): readonly X509Certificate[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  return blocks.flatMap(block => orUndefined(() => new X509Certificate(block)) ?? []);
}

function decideForeign(
  material: CertificateMaterial,
  dnsNames: readonly string[],
  flaw: string | undefined,
): CertificateDecision {
  const { authorities, authorityKey, certificate, key } = material;
  if (flaw === undefined) return { kind: 'keep', lacking: lackingNames(certificate, dnsNames) };
  const isEmpty = `${authorities}${authorityKey}${certificate}${key}`.trim() === '';
  return isEmpty ? { kind: 'everything', reason: 'the Secret is empty' } : { kind: 'unusable', reason: flaw };
}

function wantedReason(flaw: string | undefined, lacking: readonly string[], due: boolean): string | undefined {
  if (flaw !== undefined) return flaw;
  if (lacking.length > 0) return `tls.crt is not for ${lacking.join(', ')}`;
  return due ? 'tls.crt is due for renewal' : undefined;
}

/** Why the server certificate cannot be served. */
function serverFlaw({ certificate, key, authorities, ours }: CertificateMaterial, nowMs: number): string | undefined {
  const [server, ...between] = readCertificates(certificate);
  if (server === undefined) return 'tls.crt holds no certificate';
  const privateKey = readKey(key);
  if (privateKey === undefined) return 'tls.key holds no private key';
  if (!server.checkPrivateKey(privateKey)) return 'tls.key is not the key of tls.crt';
  const refusal = contextFlaw(certificate, key);
  if (refusal !== undefined) return `tls.crt cannot be served: ${refusal}`;
  if (!isCurrent(server, nowMs)) return `tls.crt holds from ${server.validFrom} to ${server.validTo} only`;
  // Somebody else's may be by an authority that agents have from elsewhere.
  if (!ours && authorities.trim() === '') return undefined;
  const signers = readCertificates(authorities).filter(one => isCurrent(one, nowMs));
  const last = between.at(-1) ?? server;
  const trusted = signers.some(signer => last.checkIssued(signer) && last.verify(signer.publicKey));
  return trusted ? undefined : 'tls.crt is by none of the authorities in ca.crt';
}

/** What TLS itself says, such as of a key that is too short or of a second block that cannot be read. */
function contextFlaw(certificate: string, key: string): string | undefined {
  try {
    createSecureContext(secureContextOptions({ certificate, key }));
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** Why the first authority cannot sign. */
function authorityFlaw({ authorities, authorityKey }: CertificateMaterial, nowMs: number): string | undefined {
  const [authority] = readCertificates(authorities);
  if (authority === undefined) return 'ca.crt holds no certificate';
  if (!authority.ca) return 'ca.crt is not of an authority';
  const key = readKey(authorityKey);
  if (key === undefined) return 'ca.key holds no private key';
  if (!createPublicKey(key).equals(authority.publicKey)) return 'ca.key is not the key of ca.crt';
  return isCurrent(authority, nowMs) ? undefined : `ca.crt holds until ${authority.validTo} only`;
}

function lackingNames(certificate: string, dnsNames: readonly string[]): readonly string[] {
  const [server] = readCertificates(certificate);
  return dnsNames.filter(name => server?.checkHost(name) === undefined);
}

function isCurrent({ validFromDate, validToDate }: X509Certificate, nowMs: number): boolean {
  return validFromDate.getTime() <= nowMs && nowMs < validToDate.getTime();
}

function isDue({ validFromDate, validToDate }: X509Certificate, nowMs: number, spread: number): boolean {
  const lifetimeMs = validToDate.getTime() - validFromDate.getTime();
  return nowMs >= validFromDate.getTime() + lifetimeMs * (RENEWED_AFTER + RENEWAL_SPREAD * spread);
}

function readKey(pem: string): KeyObject | undefined {
  return orUndefined(() => createPrivateKey(pem));
}

function orUndefined<Value>(read: () => Value): Value | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
