/** What a server shows to its clients, as PEM. */
export interface ServedCertificate {
  /** The server's certificate, and those between it and an authority. */
  readonly certificate: string;
  readonly key: string;
}

/** The certificate to serve, which changes with time. */
export class CertificateSource {
  readonly #listeners = new Set<(served: ServedCertificate) => void>();
  #current: ServedCertificate;

  constructor(current: ServedCertificate) {
    this.#current = current;
  }

  get current(): ServedCertificate {
    return this.#current;
  }

  /** Serves another one from now on; false when it is the same. */
  replace(next: ServedCertificate): boolean {
    if (next.certificate === this.#current.certificate && next.key === this.#current.key) return false;
    this.#current = next;
    for (const listener of this.#listeners) listener(next);
    return true;
  }

  onChange(listener: (served: ServedCertificate) => void): void {
    this.#listeners.add(listener);
  }
}
