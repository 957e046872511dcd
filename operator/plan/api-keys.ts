import { createHash } from 'node:crypto';
import type { ConsumerSpec } from '../../crds/consumer.ts';
import { type ClusterState, type Declared, objectKey, type SecretContent } from '../source/cluster-state.ts';
import { secretValue } from './secret-value.ts';

/** A key as it is recognised by. */
export interface KeyDigest {
  /** SHA-256, in hexadecimal digits. */
  readonly sha256: string;
  /** Milliseconds since the epoch; 0: never. */
  readonly expiresAtMs: number;
  /** Empty when it has none. */
  readonly name: string;
  /** Where it stands among the keys of its Consumer. */
  readonly index: number;
}

/** A key whose Secret does not hold it. */
interface LackingKey {
  readonly index: number;
  /** "<namespace>/<name>" */
  readonly secret: string;
  readonly problem: string;
}

/** The keys of a Consumer, and what they were made from. */
export interface ApiKeys {
  readonly spec: ConsumerSpec;
  readonly contents: readonly (SecretContent | undefined)[];
  readonly digests: readonly KeyDigest[];
  readonly lacking: readonly LackingKey[];
}

/** The keys of a Consumer by their digests; those in Secrets are hashed here and go nowhere else. `before` while it is the same. */
export function resolveApiKeys(
  { namespace, spec }: Declared<ConsumerSpec>,
  secrets: ClusterState['secrets'],
  before?: ApiKeys,
): ApiKeys {
  const references = spec.apiKeys.flatMap(({ secretRef }) => secretRef ?? []);
  const contents = references.map(({ name }) => secrets.get(objectKey({ namespace, name })));
  if (before?.spec === spec && contents.every((content, index) => content === before.contents[index])) return before;
  const digests: KeyDigest[] = [];
  const lacking: LackingKey[] = [];
  for (const [index, { name = '', sha256, secretRef, expires }] of spec.apiKeys.entries()) {
    const facts = {
      // 0 would be never.
      expiresAtMs: expires === undefined ? 0 : Math.max(1, Date.parse(expires)),
      ...{ name, index },
    };
    if (sha256 !== undefined) digests.push({ sha256, ...facts });
    if (secretRef === undefined) continue;
    const secret = objectKey({ namespace, name: secretRef.name });
    const { value, problem } = secretValue(secrets.get(secret), secretRef.key);
    if (value === undefined) lacking.push({ index, secret, problem });
    else digests.push({ sha256: createHash('sha256').update(value).digest('hex'), ...facts });
  }
  return { spec, contents, digests, lacking };
}
