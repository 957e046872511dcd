/** What a Consumer asks to be known by. */
export interface ConsumerClaimant {
  /** "<namespace>/<name>" */
  readonly key: string;
  /** The name alone. */
  readonly shortName: string;
  readonly createdAtMs: number;
  /** Of its keys, and where each stands among them. */
  readonly digests: readonly { readonly sha256: string; readonly index: number }[];
  /** Its tokens, each spelled the same way wherever the same are asked for. */
  readonly tokens: readonly string[];
  /** Values of the `user` header. */
  readonly users: readonly string[];
}

/** Why a claim is refused: the holder was first. */
export interface ConsumerConflict {
  readonly over: 'name' | 'key' | 'token' | 'user';
  /** Where what is at issue stands in the list that it is of; 0 for the name. */
  readonly index: number;
  readonly holder: { readonly key: string; readonly createdAtMs: number };
}

/** What became of a claim: the names that are its own, or the first conflict. */
export type ConsumerClaim =
  | { readonly names: readonly string[]; readonly conflict?: never }
  | { readonly names?: never; readonly conflict: ConsumerConflict };

/**
 * Gives every key, token and name to one Consumer, by `ConsumerClaimant.key`. The older claim wins, between equally old
 * ones the first by key, and a claim that loses anything gets nothing; only its short name a Consumer may lose, since it
 * has another.
 */
export function settleConsumers(claimants: readonly ConsumerClaimant[]): ReadonlyMap<string, ConsumerClaim> {
  const holders = { keys: new Map<string, ConsumerClaimant>(), tokens: new Map(), names: new Map() };
  const claims = new Map<string, ConsumerClaim>();
  for (const claimant of [...claimants].sort(olderFirst)) {
    const { key, shortName, digests, tokens, users } = claimant;
    const conflict = firstConflict(claimant, holders);
    if (conflict !== undefined) {
      claims.set(key, { conflict });
      continue;
    }
    const names = holders.names.has(shortName) ? [key] : [key, shortName];
    for (const { sha256 } of digests) holders.keys.set(sha256, claimant);
    for (const token of tokens) holders.tokens.set(token, claimant);
    for (const name of [...names, ...users]) holders.names.set(name, claimant);
    claims.set(key, { names });
  }
  return claims;
}

/** Whether two claims ask for the same, so that nothing has to be settled again. */
export function sameConsumerClaim(one: ConsumerClaimant, other: ConsumerClaimant): boolean {
  if (one === other) return true;
  return (
    one.createdAtMs === other.createdAtMs &&
    sameList(one.tokens, other.tokens) &&
    sameList(one.users, other.users) &&
    one.digests.length === other.digests.length &&
    one.digests.every(
      ({ sha256, index }, i) => sha256 === other.digests[i]?.sha256 && index === other.digests[i]?.index,
    )
  );
}

/** Who was first to claim what. */
interface Holders {
  readonly keys: ReadonlyMap<string, ConsumerClaimant>;
  readonly tokens: ReadonlyMap<string, ConsumerClaimant>;
  readonly names: ReadonlyMap<string, ConsumerClaimant>;
}

function firstConflict(
  { key, digests, tokens, users }: ConsumerClaimant,
  holders: Holders,
): ConsumerConflict | undefined {
  const named = holders.names.get(key);
  if (named !== undefined) return { over: 'name', index: 0, holder: named };
  for (const { sha256, index } of digests) {
    const holder = holders.keys.get(sha256);
    if (holder !== undefined) return { over: 'key', index, holder };
  }
  for (const [index, token] of tokens.entries()) {
    const holder = holders.tokens.get(token);
    if (holder !== undefined) return { over: 'token', index, holder };
  }
  for (const [index, user] of users.entries()) {
    const holder = holders.names.get(user);
    if (holder !== undefined) return { over: 'user', index, holder };
  }
  return undefined;
}

function olderFirst(one: ConsumerClaimant, other: ConsumerClaimant): number {
  return one.createdAtMs - other.createdAtMs || (one.key < other.key ? -1 : 1);
}

function sameList(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.every((item, index) => item === other[index]);
}
