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

/** What a claim asked for in vain: the holder was first, or is called so. */
export interface ConsumerConflict {
  readonly over: 'name' | 'key' | 'token' | 'user';
  /** Where what is at issue stands in the list that it is of; 0 for the short name. */
  readonly index: number;
  readonly holder: { readonly key: string; readonly createdAtMs: number };
}

/** What became of a claim: what is its own and what of it is not, or the conflict that leaves it nothing. */
export type ConsumerClaim =
  | {
      readonly names: readonly string[];
      readonly users: readonly string[];
      readonly lost: readonly ConsumerConflict[];
      readonly conflict?: never;
    }
  | { readonly names?: never; readonly users?: never; readonly lost?: never; readonly conflict: ConsumerConflict };

/**
 * Gives every key, token and name to one Consumer, by `ConsumerClaimant.key`. "<namespace>/<name>" is that Consumer's,
 * whoever lists it. Of all else the older claim wins, between equally old ones the first by key, and a claim that loses
 * anything gets nothing; only its short name a Consumer may lose, since it has another, and users where they are nobody.
 *
 * @param byUser whether callers are known by what the `user` header says
 */
export function settleConsumers(
  claimants: readonly ConsumerClaimant[],
  byUser: boolean,
): ReadonlyMap<string, ConsumerClaim> {
  const holders: Holders = {
    whole: new Map(claimants.map(claimant => [claimant.key, claimant])),
    keys: new Map(),
    tokens: new Map(),
    names: new Map(),
    // Where nobody is known by them, users take no short name.
    users: new Map(),
  };
  const claims = new Map<string, ConsumerClaim>();
  for (const claimant of [...claimants].sort(olderFirst)) {
    const { key, shortName, digests, tokens } = claimant;
    const lost = lostUsers(claimant, holders);
    const taken = byUser ? lost.find(({ index }) => !holders.whole.has(claimant.users[index] ?? '')) : undefined;
    const conflict = firstConflict(claimant, holders) ?? taken;
    if (conflict !== undefined) {
      claims.set(key, { conflict });
      continue;
    }
    const namesake = holders.names.get(shortName) ?? (byUser ? holders.users.get(shortName) : undefined);
    if (namesake === undefined) holders.names.set(shortName, claimant);
    else lost.push({ over: 'name', index: 0, holder: namesake });
    const users = claimant.users.filter((_, index) => !lost.some(one => one.over === 'user' && one.index === index));
    for (const { sha256 } of digests) holders.keys.set(sha256, claimant);
    for (const token of tokens) holders.tokens.set(token, claimant);
    for (const user of users) holders.users.set(user, claimant);
    claims.set(key, { names: namesake === undefined ? [key, shortName] : [key], users, lost });
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
  /** Every Consumer by "<namespace>/<name>", whether it is served or not. */
  readonly whole: ReadonlyMap<string, ConsumerClaimant>;
  readonly keys: Map<string, ConsumerClaimant>;
  readonly tokens: Map<string, ConsumerClaimant>;
  /** By short names. */
  readonly names: Map<string, ConsumerClaimant>;
  readonly users: Map<string, ConsumerClaimant>;
}

function firstConflict({ digests, tokens }: ConsumerClaimant, holders: Holders): ConsumerConflict | undefined {
  for (const { sha256, index } of digests) {
    const holder = holders.keys.get(sha256);
    if (holder !== undefined) return { over: 'key', index, holder };
  }
  for (const [index, token] of tokens.entries()) {
    const holder = holders.tokens.get(token);
    if (holder !== undefined) return { over: 'token', index, holder };
  }
  return undefined;
}

function lostUsers(claimant: ConsumerClaimant, { whole, names, users }: Holders): ConsumerConflict[] {
  return claimant.users.flatMap((user, index) => {
    const holder = whole.get(user) ?? names.get(user) ?? users.get(user);
    return holder === undefined || holder === claimant ? [] : [{ over: 'user', index, holder }];
  });
}

function olderFirst(one: ConsumerClaimant, other: ConsumerClaimant): number {
  return one.createdAtMs - other.createdAtMs || (one.key < other.key ? -1 : 1);
}

function sameList(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.every((item, index) => item === other[index]);
}
