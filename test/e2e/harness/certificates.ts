import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A certificate and its private key, both PEM. */
export interface KeyPair {
  readonly certificate: string;
  readonly key: string;
}

interface Wanted {
  readonly name?: string;
  /** Of `openssl genpkey`; ECDSA P-256 when absent. */
  readonly algorithm?: readonly string[];
  /** How long it is valid; 1 when absent, below 0 for one that has expired. */
  readonly days?: number;
  /** 127.0.0.1 when absent. */
  readonly address?: string;
}

const P256 = ['-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256'];

/** A certificate authority of a test, made by openssl. */
export class Authority {
  readonly #directory = mkdtempSync(join(tmpdir(), 'fairlead-ca-'));
  #serial = 0;
  /** Its own certificate. */
  readonly certificate: string;

  constructor() {
    this.#openssl('genpkey', ...P256, '-out', 'ca.key');
    const constraints = ['-addext', 'basicConstraints=critical,CA:TRUE', '-addext', 'keyUsage=critical,keyCertSign'];
    this.#openssl(
      'req',
      '-x509',
      '-new',
      '-key',
      'ca.key',
      '-subj',
      '/CN=Test CA',
      '-days',
      '1',
      ...constraints,
      '-out',
      'ca.crt',
    );
    this.certificate = this.#read('ca.crt');
  }

  /** Where its certificate is, for NODE_EXTRA_CA_CERTS. */
  get file(): string {
    return join(this.#directory, 'ca.crt');
  }

  /** A certificate for localhost and an address. */
  issue({ name = 'localhost', algorithm = P256, days = 1, address = '127.0.0.1' }: Wanted = {}): KeyPair {
    this.#serial += 1;
    const file = `leaf-${this.#serial}`;
    this.#openssl('genpkey', ...algorithm, '-out', `${file}.key`);
    this.#openssl('req', '-new', '-key', `${file}.key`, '-subj', `/CN=${name}`, '-out', `${file}.csr`);
    writeFileSync(
      join(this.#directory, 'ext'),
      `subjectAltName=DNS:localhost,IP:${address}\nbasicConstraints=CA:FALSE\n`,
    );
    const signing = ['-CA', 'ca.crt', '-CAkey', 'ca.key', '-set_serial', String(this.#serial), '-extfile', 'ext'];
    this.#openssl('x509', '-req', '-in', `${file}.csr`, ...signing, '-days', String(days), '-out', `${file}.crt`);
    return { certificate: this.#read(`${file}.crt`), key: this.#read(`${file}.key`) };
  }

  remove(): void {
    rmSync(this.#directory, { recursive: true, force: true });
  }

  #openssl(...args: readonly string[]): void {
    execFileSync('openssl', args, { cwd: this.#directory, stdio: ['ignore', 'ignore', 'pipe'] });
  }

  #read(file: string): string {
    return readFileSync(join(this.#directory, file), 'utf8');
  }
}

/** A Secret of type kubernetes.io/tls, as a document with text in it. */
export function tlsSecret(name: string, { certificate, key }: KeyPair, namespace = 'default') {
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    type: 'kubernetes.io/tls',
    metadata: { name, namespace },
    stringData: { 'tls.crt': certificate, 'tls.key': key },
  };
}
