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
    super({ handshakeTimeout: handshakeTimeoutMs, requestCert: false }, secureContext(source.current));
    source.onChange(served => this.updateSecureContextOptions(secureContext(served)));
  }

  _equals(other: ServerCredentials): boolean {
    return this === other;
  }
}

/** Both ends are ours, so neither needs to speak anything older. */
function secureContext({ certificate, key }: ServedCertificate): SecureContextOptions {
  return { cert: certificate, key, minVersion: 'TLSv1.3' };
}
