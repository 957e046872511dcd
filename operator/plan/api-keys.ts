import { createHash } from 'node:crypto';
import type { ConsumerSpec } from '../../crds/consumer.ts';
import { type ClusterState, type Declared, objectKey, type SecretContent } from '../source/cluster-state.ts';
import { type SecretValue, secretValue } from './secret-value.ts';

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
  const digests = new Map<string, KeyDigest>();
  const add = (digest: KeyDigest) => {
    const known = digests.get(digest.sha256);
    if (known === undefined || endOf(digest) < endOf(known)) digests.set(digest.sha256, digest);
  };
  const lacking: LackingKey[] = [];
  for (const [index, { name = '', sha256, secretRef, expires }] of spec.apiKeys.entries()) {
    const facts = {
      // 0 would be never.
      expiresAtMs: expires === undefined ? 0 : Math.max(1, Date.parse(expires)),
      ...{ name, index },
    };
    if (sha256 !== undefined) add({ sha256, ...facts });
    if (secretRef === undefined) continue;
    const secret = objectKey({ namespace, name: secretRef.name });
    const { value, problem } = keyValue(secretValue(secrets.get(secret), secretRef.key), secretRef.key);
    if (value === undefined) lacking.push({ index, secret, problem });
    else add({ sha256: createHash('sha256').update(value).digest('hex'), ...facts });
  }
  return { spec, contents, digests: [...digests.values()], lacking };
}

/** Of a key that is there twice, the end that comes first counts: whoever set one meant it. */
function endOf({ expiresAtMs }: KeyDigest): number {
  return expiresAtMs === 0 ? Number.POSITIVE_INFINITY : expiresAtMs;
}

/** Gateways look at no longer one, bytes. */
const MAX_KEY_BYTES = 512;
const SPACE = 32;
const DELETE = 127;

/** A key that somebody can send. */
function keyValue(stored: SecretValue, key: string): SecretValue {
  if (stored.value === undefined) return stored;
  if (stored.value.length > MAX_KEY_BYTES)
    return { problem: `"${key}" is longer than a key may be: ${MAX_KEY_BYTES} bytes` };
  const odd = stored.value.some(byte => byte <= SPACE || byte === DELETE);
  return odd ? { problem: `"${key}" has a space or a line end in it, which no key has` } : stored;
}
