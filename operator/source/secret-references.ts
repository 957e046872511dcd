import { isDeepStrictEqual } from 'node:util';
import { TLS_CERTIFICATE, TLS_PRIVATE_KEY } from '../../proto/secret-keys.ts';
import { type ClusterState, objectKey, type SecretContent } from './cluster-state.ts';

/** Which keys of which Secrets resources refer to, by the Secret's `objectKey`: nothing else of any Secret is read. */
export type SecretReferences = ReadonlyMap<string, ReadonlySet<string>>;

/** The Secrets that some resources refer to; each is of the resource's own namespace. */
export function secretReferences({
  gateways,
  consumers,
}: Pick<ClusterState, 'gateways' | 'consumers'>): SecretReferences {
  const references = new Map<string, Set<string>>();
  const refer = (namespace: string, name: string, ...used: readonly string[]) => {
    const key = objectKey({ namespace, name });
    references.set(key, new Set([...(references.get(key) ?? []), ...used]));
  };
  for (const { namespace, spec } of gateways) {
    for (const { tls } of spec.listeners) {
      if (tls !== undefined) refer(namespace, tls.secretRef.name, TLS_CERTIFICATE, TLS_PRIVATE_KEY);
    }
    const { valkey } = spec.limits;
    const single = [
      ...spec.authentication.jwt.map(({ ca }) => ca?.secretRef),
      valkey?.secretRef,
      valkey?.ca?.secretRef,
    ];
    for (const secretRef of single) if (secretRef !== undefined) refer(namespace, secretRef.name, secretRef.key);
  }
  for (const { namespace, spec } of consumers.values()) {
    for (const { secretRef } of spec.apiKeys)
      if (secretRef !== undefined) refer(namespace, secretRef.name, secretRef.key);
  }
  return references;
}

/** Of what a Secret holds, the keys that are used. */
export function usedData<Value>(
  data: Readonly<Record<string, Value>>,
  keys: ReadonlySet<string>,
): Readonly<Record<string, Value>> {
  return Object.fromEntries(
    [...keys].sort().flatMap(key => (Object.hasOwn(data, key) ? [[key, data[key] as Value]] : [])),
  );
}

/** The contents of the Secrets that are referred to; what says the same as before stays the same object. */
export class ReferencedSecrets {
  #last: ReadonlyMap<string, SecretContent> = new Map();

  /** `look` gives what a Secret holds of some keys; undefined while nobody knows. */
  read(
    references: SecretReferences,
    look: (key: string, keys: ReadonlySet<string>) => SecretContent | undefined,
  ): ReadonlyMap<string, SecretContent> {
    const now = new Map<string, SecretContent>();
    let same = true;
    for (const [key, keys] of references) {
      const content = look(key, keys);
      const before = this.#last.get(key);
      const kept = before !== undefined && isDeepStrictEqual(before, content) ? before : content;
      if (kept !== undefined) now.set(key, kept);
      same &&= kept === before;
    }
    if (!same || now.size !== this.#last.size) this.#last = now;
    return this.#last;
  }
}
