import type { ApiConnection } from '../../../operator/api/api-connection.ts';
import { fieldsOf } from '../../../operator/api/api-failure.ts';
import type { ObjectReference } from './pod-object.ts';

/** What a container cannot be started without; it may come. */
export class MissingObject extends Error {}

export type DataKind = 'configmaps' | 'secrets';

/** Reads what pods refer to, as it is now. */
export class ObjectReader {
  readonly #api: ApiConnection;

  constructor(api: ApiConnection) {
    this.#api = api;
  }

  /**
   * The data of a ConfigMap or Secret; undefined for an optional one that is not there.
   * @throws MissingObject when there is none
   */
  async data(kind: DataKind, namespace: string, reference: ObjectReference): Promise<Map<string, Buffer> | undefined> {
    const path = `/api/v1/namespaces/${namespace}/${kind}/${reference.name}`;
    const { object, failure } = await this.#api.send({ method: 'GET', path }, AbortSignal.timeout(10_000));
    if (failure?.code === 404 && reference.optional) return undefined;
    if (failure) throw new MissingObject(failure.message);
    const { data, binaryData } = fieldsOf(object);
    const values = new Map<string, Buffer>();
    const encoding = kind === 'secrets' ? 'base64' : 'utf8';
    for (const [key, text] of Object.entries(fieldsOf(data))) values.set(key, Buffer.from(String(text), encoding));
    for (const [key, text] of Object.entries(fieldsOf(binaryData))) {
      values.set(key, Buffer.from(String(text), 'base64'));
    }
    return values;
  }

  /** A token of a pod's ServiceAccount, and for how long it is good, milliseconds. @throws MissingObject */
  async token(
    pod: { readonly namespace: string; readonly name: string; readonly uid: string; readonly account: string },
    audience: string | undefined,
    expirationSeconds: number,
  ): Promise<{ token: string; livesMs: number }> {
    const { object, failure } = await this.#api.send(
      {
        method: 'POST',
        path: `/api/v1/namespaces/${pod.namespace}/serviceaccounts/${pod.account}/token`,
        body: {
          apiVersion: 'authentication.k8s.io/v1',
          kind: 'TokenRequest',
          spec: {
            ...(audience !== undefined && { audiences: [audience] }),
            expirationSeconds,
            boundObjectRef: { apiVersion: 'v1', kind: 'Pod', name: pod.name, uid: pod.uid },
          },
        },
      },
      AbortSignal.timeout(10_000),
    );
    if (failure) throw new MissingObject(failure.message);
    const { token, expirationTimestamp } = fieldsOf(fieldsOf(object).status);
    return { token: String(token), livesMs: Date.parse(String(expirationTimestamp)) - Date.now() };
  }
}
