import type { SecureContextOptions } from 'node:tls';
import { ServerCredentials } from '@grpc/grpc-js';
import type { CertificateSource, ServedCertificate } from './certificate-source.ts';

/** A peer that has not shown that it speaks TLS by then is cut off. */
const handshakeTimeoutMs = 5_000;

/** TLS credentials that follow `source`: connections keep the certificate they began with, new ones see the newest. */
export function grpcServerCredentials(source: CertificateSource): ServerCredentials {
  return new FollowingCredentials(source);
}

/**
 * grpc-js has credentials that follow a provider, but they leave the handshake 120 seconds. Both are made of what
 * `ServerCredentials` offers to its own kind.
 */
class FollowingCredentials extends ServerCredentials {
  constructor(source: CertificateSource) {
    super({ handshakeTimeout: handshakeTimeoutMs, requestCert: false }, secureContextOptions(source.current));
    source.onChange(served => this.updateSecureContextOptions(secureContextOptions(served)));
  }

  _equals(other: ServerCredentials): boolean {
    return this === other;
  }
}

/** How the certificate is shown. Both ends are ours, so neither needs to speak anything older. */
export function secureContextOptions({ certificate, key }: ServedCertificate): SecureContextOptions {
  return { cert: certificate, key, minVersion: 'TLSv1.3' };
}
