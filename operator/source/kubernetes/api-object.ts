/** An object as the API server tells of it, as far as the source reads it; `spec` and `status` depend on its kind. */
export interface ApiObject {
  readonly metadata: {
    readonly namespace: string;
    readonly name: string;
    readonly uid: string;
    readonly resourceVersion: string;
    readonly labels?: Readonly<Record<string, string>>;
    /** RFC 3339. */
    readonly creationTimestamp: string;
    readonly generation?: number;
    readonly deletionTimestamp?: string;
  };
  readonly spec?: unknown;
  readonly status?: unknown;
  /** Of a Secret: values in base64. */
  readonly data?: Readonly<Record<string, string>>;
}

/** All objects of one kind in one namespace, or in all of them. */
export interface Collection {
  /** "/api/v1", "/apis/<group>/<version>" */
  readonly groupVersion: string;
  /** "pods" */
  readonly plural: string;
  /** Undefined for all namespaces. */
  readonly namespace: string | undefined;
  /** What the API server leaves out, where it can. */
  readonly fieldSelector?: string;
}

/** Its path on the API server. */
export function collectionPath({ groupVersion, plural, namespace }: Collection): string {
  return `${groupVersion}${namespace === undefined ? '' : `/namespaces/${namespace}`}/${plural}`;
}
