import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { type ChannelCredentials, credentials, Metadata } from '@grpc/grpc-js';

/** Files that say whom to trust and who we are. Their content changes while we run. */
export interface ControlPlaneFiles {
  /** Authorities of the control plane's certificate, PEM. */
  readonly ca: string;
  /** Token that is shown to the control plane. */
  readonly token: string;
}

/**
 * Gives credentials of what the files hold now: TLS to a server whose certificate is for the name that is dialled, and
 * the token with every stream. The same object for as long as the files hold the same.
 *
 * What it gives throws an Error when a file cannot be read or holds nothing of use.
 */
export function fileCredentials(files: ControlPlaneFiles): () => ChannelCredentials {
  let last: { readonly ca: Buffer; readonly token: string; readonly made: ChannelCredentials } | undefined;
  return () => {
    const ca = readAuthorities(files.ca);
    const token = read(files.token).toString('utf8').trim();
    if (token === '') throw new Error(`${files.token} is empty`);
    if (last === undefined || !last.ca.equals(ca) || last.token !== token) {
      last = { ca, token, made: credentialsOf(ca, token) };
    }
    return last.made;
  };
}

function credentialsOf(ca: Buffer, token: string): ChannelCredentials {
  const metadata = new Metadata();
  metadata.set('authorization', `Bearer ${token}`);
  const showToken = credentials.createFromMetadataGenerator((_, callback) => callback(null, metadata));
  return credentials.combineChannelCredentials(credentials.createSsl(ca), showToken);
}

/** TLS would take anything, and then trust nobody without saying why. */
function readAuthorities(path: string): Buffer {
  const ca = read(path);
  try {
    new X509Certificate(ca);
  } catch {
    throw new Error(`${path} holds no certificate`);
  }
  return ca;
}

function read(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new Error(code === 'ENOENT' ? `${path} is not there yet` : `${path} cannot be read: ${code}`);
  }
}
