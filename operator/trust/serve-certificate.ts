import { setTimeout as delay } from 'node:timers/promises';
import {
  type CertificateDecision,
  type CertificateMaterial,
  decideCertificate,
  joinAuthorities,
  readCertificates,
  signingAuthority,
} from './certificate-decision.ts';
import { CertificateSource } from './certificate-source.ts';
import { type Api, CertificateStore, type ObjectName } from './certificate-store.ts';
import { type IssuedCertificate, issueAuthority, issueServerCertificate } from './issue.ts';

/** What happens with our certificate, as log events. */
export type CertificateEvent =
  | {
      readonly event: 'certificate.issued';
      /** What was made anew. */
      readonly issued: 'certificate' | 'authority' | 'everything';
      readonly reason: string;
      readonly secret: string;
    }
  | {
      readonly event: 'certificate.served';
      readonly secret: string;
      /** SHA-256 of the server certificate. */
      readonly fingerprint: string;
      readonly until: string;
      /** Somebody else's is used as it is. */
      readonly ours: boolean;
    }
  /** Somebody else's certificate is not for these names: agents that use them refuse it. */
  | { readonly event: 'certificate.names_lacking'; readonly secret: string; readonly names: readonly string[] }
  | { readonly event: 'certificate.authorities_published'; readonly configMap: string }
  | { readonly event: 'certificate.failed'; readonly message: string };

interface ServeCertificateOptions {
  readonly api: Api;
  /** The Secret that keeps it, and the ConfigMap that tells its authorities. */
  readonly secret: ObjectName;
  /** Names by which agents reach this server. */
  readonly dnsNames: readonly string[];
  readonly signal: AbortSignal;
  onEvent?(event: CertificateEvent): void;
  /** How often the Secret is looked at, milliseconds; another replica's new certificate is served after at most this. */
  readonly intervalMs?: number;
}

const INTERVAL_MS = 60_000;
/** After a failure, as long as there is nothing to serve, or agents do not know whom to trust. */
const RETRY_MS = 2_000;
/** Of how far the waits differ from each other, so that replicas do not keep in step. */
const JITTER = 0.2;
/** Replicas that write at once: each but one reads again, and finds what it needs. */
const MAX_CONFLICTS = 5;

/**
 * Serves the certificate that the Secret holds, makes and renews it there, and tells its authorities in the ConfigMap,
 * until `signal` aborts. Done with the first certificate; rejects with the signal's reason only. Failures are told as
 * events, once each until something else happens, and tried again: what is served stays.
 */
export async function serveCertificate(options: ServeCertificateOptions): Promise<CertificateSource> {
  const keeper = new CertificateKeeper(options);
  const source = await keeper.first();
  void keeper.follow(source);
  return source;
}

class CertificateKeeper {
  readonly #options: ServeCertificateOptions;
  readonly #store: CertificateStore;
  readonly #secret: string;
  /** Constant, so that a certificate that is not due yet does not become so by chance. */
  readonly #spread = Math.random();
  #failure = '';
  /** The ConfigMap lacks what it is to tell. */
  #unpublished = false;
  #lacking = '';

  constructor(options: ServeCertificateOptions) {
    this.#options = options;
    this.#store = new CertificateStore(options.api, options.secret);
    this.#secret = `${options.secret.namespace}/${options.secret.name}`;
  }

  async first(): Promise<CertificateSource> {
    for (;;) {
      const material = await this.#look();
      if (material !== undefined) {
        const source = new CertificateSource(material);
        this.#tellServed(material);
        return source;
      }
      await this.#wait(RETRY_MS);
    }
  }

  async follow(source: CertificateSource): Promise<void> {
    const { signal, intervalMs = INTERVAL_MS } = this.#options;
    for (;;) {
      await this.#wait(this.#unpublished ? Math.min(RETRY_MS, intervalMs) : intervalMs);
      if (signal.aborted) return;
      const material = await this.#look().catch(() => undefined);
      if (material !== undefined && source.replace(material)) this.#tellServed(material);
    }
  }

  /** What is to be served now; undefined when that cannot be known, which was told. */
  async #look(): Promise<CertificateMaterial | undefined> {
    const { signal } = this.#options;
    let material: CertificateMaterial | undefined;
    let failure = '';
    try {
      signal.throwIfAborted();
      material = await this.#settle();
      // Agents may have the authorities from elsewhere: a failure here is none of serving.
      await this.#publish(material);
    } catch (error) {
      signal.throwIfAborted();
      failure = error instanceof Error ? error.message : String(error);
      if (failure !== this.#failure) this.#tell({ event: 'certificate.failed', message: failure });
    }
    this.#failure = failure;
    return material;
  }

  async #publish({ authorities }: CertificateMaterial): Promise<void> {
    if (authorities.trim() === '') return;
    this.#unpublished = true;
    const isNews = await this.#store.publish(authorities, this.#options.signal);
    this.#unpublished = false;
    if (isNews) this.#tell({ event: 'certificate.authorities_published', configMap: this.#secret });
  }

  /** Brings the Secret to where nothing is to be done. @throws Error when it cannot */
  async #settle(): Promise<CertificateMaterial> {
    const { dnsNames, signal } = this.#options;
    for (let conflicts = 0; conflicts < MAX_CONFLICTS; conflicts++) {
      const stored = await this.#store.read(signal);
      const decision = decideCertificate(stored.material, dnsNames, Date.now(), this.#spread);
      if (decision.kind === 'keep') {
        this.#tellLacking(decision.lacking);
        return stored.material;
      }
      if (decision.kind === 'unusable') {
        throw new Error(
          `secret ${this.#secret} was filled by somebody else, and what it holds cannot be served: ${decision.reason}. ` +
            'Mend it there, or empty it to have one made here',
        );
      }
      const material = await carryOut(decision, stored.material, dnsNames, Date.now());
      if (!(await this.#store.write(stored, material, signal))) continue;
      const { kind: issued, reason } = decision;
      this.#tell({ event: 'certificate.issued', issued, reason, secret: this.#secret });
      return material;
    }
    throw new Error(`secret ${this.#secret} keeps changing while it is written`);
  }

  #tellServed({ certificate, ours }: CertificateMaterial): void {
    const [server] = readCertificates(certificate);
    const { fingerprint256: fingerprint = '', validTo: until = '' } = server ?? {};
    this.#tell({ event: 'certificate.served', secret: this.#secret, fingerprint, until, ours });
  }

  #tellLacking(names: readonly string[]): void {
    if (names.length > 0 && names.join() !== this.#lacking) {
      this.#tell({ event: 'certificate.names_lacking', secret: this.#secret, names });
    }
    this.#lacking = names.join();
  }

  #tell(event: CertificateEvent): void {
    this.#options.onEvent?.(event);
  }

  /** Also over when the signal aborts. */
  async #wait(ms: number): Promise<void> {
    const jitteredMs = ms * (1 + JITTER * (Math.random() - 0.5));
    await delay(jitteredMs, undefined, { signal: this.#options.signal }).catch(() => undefined);
  }
}

/** @param nowMs since the epoch */
async function carryOut(
  { kind }: Exclude<CertificateDecision, { kind: 'keep' | 'unusable' }>,
  before: CertificateMaterial,
  dnsNames: readonly string[],
  nowMs: number,
): Promise<CertificateMaterial> {
  const signer = kind === 'certificate' ? signingAuthority(before) : await issueAuthority(nowMs);
  const server: IssuedCertificate =
    kind === 'authority' ? before : await issueServerCertificate(signer, dnsNames, nowMs);
  // Somebody else's authorities did not promise to stand for us.
  const known = before.ours ? before.authorities : '';
  return {
    authorities: joinAuthorities(signer.certificate, known, nowMs),
    authorityKey: signer.key,
    certificate: server.certificate,
    key: server.key,
    ours: true,
  };
}
