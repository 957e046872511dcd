import type { ApiRequest, Reply } from '../api/api-connection.ts';
import { fieldsOf } from '../api/api-failure.ts';
import type { Api } from './certificate-store.ts';

type Fields = Readonly<Record<string, unknown>>;

/** Secrets and ConfigMaps with the API server's rules for writing them. */
export class SecretObjects implements Api {
  readonly objects = new Map<string, Fields>();
  readonly writes: string[] = [];
  /** What nobody may do, such as "POST". */
  forbidden = new Set<string>();
  away = false;
  #version = 0;

  /** Puts an object there, as its owner would. */
  put(path: string, document: Fields): void {
    this.#version += 1;
    const metadata = { ...fieldsOf(document.metadata), resourceVersion: String(this.#version) };
    this.objects.set(path, { ...document, metadata });
  }

  text(path: string, key: string): string {
    return Buffer.from(String(fieldsOf(this.objects.get(path)?.data)[key] ?? ''), 'base64').toString('utf8');
  }

  async send({ method, path, body }: ApiRequest): Promise<Reply> {
    // As over a network, so that two can read before either writes.
    await new Promise(setImmediate);
    if (this.away) throw new Error('connect ECONNREFUSED');
    if (this.forbidden.has(method)) return { failure: { code: 403, message: `${method} is forbidden` } };
    const document = fieldsOf(body);
    const { name, resourceVersion } = fieldsOf(document.metadata);
    const target = method === 'POST' ? `${path}/${name}` : path;
    const there = this.objects.get(target);
    if (method === 'GET') return there ? { object: there } : notFound;
    if (method === 'POST' && there) return conflict;
    if (method === 'PUT' && !there) return notFound;
    if (method === 'PUT' && resourceVersion !== fieldsOf(there?.metadata).resourceVersion) return conflict;
    this.writes.push(`${method} ${target}`);
    this.put(target, document);
    return { object: this.objects.get(target) };
  }
}

const notFound: Reply = { failure: { code: 404, message: 'not found' } };
const conflict: Reply = { failure: { code: 409, message: 'the object has been modified' } };
