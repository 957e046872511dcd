import { createPrivateKey, KeyObject, randomBytes, type webcrypto } from 'node:crypto';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

/**
 * Long enough that its change is rare, short enough that it is ordinary: an authority that outlives its makers is
 * changed for the first time in an emergency, and a key that leaked stays of use until the end.
 */
export const authorityLifetimeMs = 2 * 365 * DAY_MS;
/** As public authorities and cert-manager have it. */
const serverLifetimeMs = 90 * DAY_MS;
/** Certificates begin in the past, for machines whose clock is behind. */
const clockSkewMs = HOUR_MS;

/** Elliptic curve of all keys here. */
const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const SERIAL_BYTES = 16;

/** A certificate and its key, as PEM. */
export interface IssuedCertificate {
  readonly certificate: string;
  readonly key: string;
}

/** Makes a new authority. @param nowMs since the epoch */
export async function issueAuthority(nowMs: number): Promise<IssuedCertificate> {
  const x509 = await library();
  const keys = await crypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const serialNumber = serial();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber,
    // Two authorities of one name would be told apart by their keys only, which not every client does.
    name: `CN=Fairlead control plane ${serialNumber.slice(0, 8)}`,
    notBefore: new Date(nowMs - clockSkewMs),
    notAfter: new Date(nowMs + authorityLifetimeMs),
    signingAlgorithm: ALGORITHM,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { certificate: pem(certificate), key: exported(keys.privateKey) };
}

/**
 * Makes a server certificate for `dnsNames`, which does not outlive its authority.
 *
 * @param nowMs since the epoch
 */
export async function issueServerCertificate(
  authority: IssuedCertificate,
  dnsNames: readonly string[],
  nowMs: number,
): Promise<IssuedCertificate> {
  const x509 = await library();
  const issuer = new x509.X509Certificate(authority.certificate);
  const signingKey = createPrivateKey(authority.key).toCryptoKey(ALGORITHM, false, ['sign']);
  const keys = await crypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serial(),
    subject: 'CN=fairlead-control-plane',
    issuer: issuer.subject,
    notBefore: new Date(nowMs - clockSkewMs),
    notAfter: new Date(Math.min(nowMs + serverLifetimeMs, issuer.notAfter.getTime())),
    signingAlgorithm: ALGORITHM,
    publicKey: keys.publicKey,
    signingKey,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      new x509.SubjectAlternativeNameExtension(dnsNames.map(value => ({ type: 'dns', value }))),
      await x509.AuthorityKeyIdentifierExtension.create(issuer.publicKey),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { certificate: pem(certificate), key: exported(keys.privateKey) };
}

/** Loaded when something is issued, which most processes never do. */
async function library() {
  await import('reflect-metadata');
  return import('@peculiar/x509');
}

/** A positive number, as RFC 5280 wants it, hexadecimal. */
function serial(): string {
  const bytes = randomBytes(SERIAL_BYTES);
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return bytes.toString('hex');
}

function pem(certificate: { toString(format: 'pem'): string }): string {
  return `${certificate.toString('pem').trim()}\n`;
}

function exported(key: webcrypto.CryptoKey): string {
  return KeyObject.from(key).export({ type: 'pkcs8', format: 'pem' }).toString();
}
