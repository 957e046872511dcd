import type { ApiConnection } from '../api/api-connection.ts';
import { type ApiFailure, fieldsOf } from '../api/api-failure.ts';
import { type CertificateMaterial, readCertificates } from './certificate-decision.ts';

/** Where the certificate is kept; a ConfigMap of the same name tells the authorities to agents. */
export interface ObjectName {
  readonly namespace: string;
  readonly name: string;
}

/** The part of the API server's connection that this room needs. */
export type Api = Pick<ApiConnection, 'send'>;

/** The Secret as it was read: what it holds, and what a write needs to say which state it replaces. */
export interface StoredCertificate {
  readonly material: CertificateMaterial;
  /** Undefined when there is no Secret. */
  readonly document: Fields | undefined;
}

type Fields = Readonly<Record<string, unknown>>;

/**
 * Fingerprint (SHA-256) of the certificate that we wrote: for as long as it is the one in tls.crt, the Secret is ours to
 * write again. Whoever puts another one there leaves the annotation behind.
 */
const OURS_ANNOTATION = 'fairlead.dev/certificate';
/** Operators that write at once: each but one reads again, and finds what it needs. */
const MAX_CONFLICTS = 5;
const CONFLICT = 409;
const NOT_FOUND = 404;
const FORBIDDEN = 403;

/** Reads and writes the Secret and the ConfigMap. All reject with an Error whose message says what to do. */
export class CertificateStore {
  readonly #api: Api;
  readonly #name: ObjectName;

  constructor(api: Api, name: ObjectName) {
    this.#api = api;
    this.#name = name;
  }

  async read(signal: AbortSignal): Promise<StoredCertificate> {
    const document = await this.#get('secrets', signal);
    const data = fieldsOf(document?.data);
    const text = (key: string) => Buffer.from(String(data[key] ?? ''), 'base64').toString('utf8');
    const annotations = fieldsOf(fieldsOf(document?.metadata).annotations);
    const certificate = text('tls.crt');
    const written = annotations[OURS_ANNOTATION];
    const material: CertificateMaterial = {
      authorities: text('ca.crt'),
      authorityKey: text('ca.key'),
      certificate,
      key: text('tls.key'),
      ours: written !== undefined && written === fingerprintOf(certificate),
    };
    return { material, document };
  }

  /** Replaces what `stored` was read from; false when somebody else was faster, so that it is to be read again. */
  async write(stored: StoredCertificate, material: CertificateMaterial, signal: AbortSignal): Promise<boolean> {
    const before = fieldsOf(stored.document?.metadata);
    const annotations = {
      ...fieldsOf(before.annotations),
      [OURS_ANNOTATION]: fingerprintOf(material.certificate),
    };
    const data = {
      'ca.crt': material.authorities,
      'ca.key': material.authorityKey,
      'tls.crt': material.certificate,
      'tls.key': material.key,
    };
    return this.#put(
      'secrets',
      {
        kind: 'Secret',
        type: 'kubernetes.io/tls',
        ...stored.document,
        metadata: { ...before, annotations },
        data: {
          ...fieldsOf(stored.document?.data),
          ...Object.fromEntries(Object.entries(data).map(([key, text]) => [key, Buffer.from(text).toString('base64')])),
        },
      },
      stored.document !== undefined,
      signal,
    );
  }

  /** Tells agents whom to trust, unless they are told so already; true when that was news. */
  async publish(authorities: string, signal: AbortSignal): Promise<boolean> {
    for (let conflicts = 0; conflicts < MAX_CONFLICTS; conflicts++) {
      const document = await this.#get('configmaps', signal);
      const data = fieldsOf(document?.data);
      if (data['ca.crt'] === authorities) return false;
      const changed = { kind: 'ConfigMap', ...document, data: { ...data, 'ca.crt': authorities } };
      if (await this.#put('configmaps', changed, document !== undefined, signal)) return true;
    }
    throw new Error(`configmap ${this.#name.namespace}/${this.#name.name} keeps changing while it is written`);
  }

  async #get(resource: Resource, signal: AbortSignal): Promise<Fields | undefined> {
    const reply = await this.#api.send({ method: 'GET', path: this.#path(resource, true) }, signal);
    if (reply.failure?.code === NOT_FOUND) return undefined;
    if (reply.failure) throw this.#error('get', resource, reply.failure);
    return fieldsOf(reply.object);
  }

  async #put(resource: Resource, document: Fields, exists: boolean, signal: AbortSignal): Promise<boolean> {
    const body = { apiVersion: 'v1', ...document, metadata: { ...fieldsOf(document.metadata), ...this.#name } };
    const method = exists ? 'PUT' : 'POST';
    const { failure } = await this.#api.send({ method, path: this.#path(resource, exists), body }, signal);
    if (failure === undefined) return true;
    if (failure.code === CONFLICT || failure.code === NOT_FOUND) return false;
    throw this.#error(exists ? 'update' : 'create', resource, failure);
  }

  #path(resource: Resource, named: boolean): string {
    const { namespace, name } = this.#name;
    return `/api/v1/namespaces/${namespace}/${resource}${named ? `/${name}` : ''}`;
  }

  #error(verb: string, resource: Resource, { code, message }: ApiFailure): Error {
    const { namespace, name } = this.#name;
    if (code !== FORBIDDEN) return new Error(`${verb} ${resource} ${namespace}/${name}: ${message}`);
    // RBAC cannot grant the creation of one name: whoever installs creates both, empty.
    const remedy =
      verb === 'create'
        ? `create the empty ${resource === 'secrets' ? 'Secret' : 'ConfigMap'} ${namespace}/${name}, or grant`
        : 'grant';
    return new Error(
      `${message}: ${remedy} the operator's ServiceAccount a Role in ${namespace} with ` +
        `apiGroups [""], resources [${resource}], ` +
        (verb === 'create' ? 'verbs [create]' : `resourceNames [${name}], verbs [get, update]`),
    );
  }
}

type Resource = 'secrets' | 'configmaps';

/** Of the first certificate; undefined when there is none. */
function fingerprintOf(certificate: string): string | undefined {
  return readCertificates(certificate)[0]?.fingerprint256;
}
