/** What a model asks for by its id, aliases and version. */
export interface Claimant {
  /** "<namespace>/<name>" of the resource. */
  readonly key: string;
  readonly id: string;
  readonly aliases: readonly string[];
  readonly version: string | undefined;
  /** Whether it asks to answer for its id where a request names no version. */
  readonly isDefault: boolean;
  readonly createdAtMs: number;
}

/** Why a claim is refused: the holder was first. */
export interface NameConflict {
  readonly over: 'name' | 'version' | 'default';
  /** The name at issue: an id or an alias. */
  readonly name: string;
  readonly holder: Claimant;
}

/** What became of a claim. */
export type Claim =
  | { readonly names: readonly string[]; readonly conflict?: never }
  | { readonly names?: never; readonly conflict: NameConflict };

/**
 * Gives every name to one model, by `Claimant.key`. Ids and aliases are unique over the gateway, except that models
 * with one id may share it when their versions differ; they may share aliases too. The older claim wins, between
 * equally old ones the first by key, and a claim that loses anything gets nothing.
 *
 * A model's names are its id and aliases followed by `@version`; the bare names belong to the one with `isDefault`,
 * else to the newest version: versions compare piece by piece, runs of digits as numbers (`10` is newer than `9`,
 * `1.10` than `1.9`), and no version is older than any.
 */
export function settleNames(claimants: readonly Claimant[]): ReadonlyMap<string, Claim> {
  const book = new NameBook();
  const claims = new Map<string, Claim>();
  const families = new Map<string, Claimant[]>();
  for (const claimant of [...claimants].sort(olderFirst)) {
    const conflict = book.claim(claimant);
    if (conflict !== undefined) {
      claims.set(claimant.key, { conflict });
      continue;
    }
    const family = families.get(claimant.id);
    if (family === undefined) families.set(claimant.id, [claimant]);
    else family.push(claimant);
  }
  for (const family of families.values()) shareNames(family, claims);
  return claims;
}

/** Whether two claims ask for the same, so that nothing has to be settled again. */
export function sameClaim(one: Claimant, other: Claimant): boolean {
  return (
    one.id === other.id &&
    one.version === other.version &&
    one.isDefault === other.isDefault &&
    one.createdAtMs === other.createdAtMs &&
    one.aliases.length === other.aliases.length &&
    one.aliases.every((alias, index) => alias === other.aliases[index])
  );
}

/** Who was first to claim what. */
class NameBook {
  readonly #holderByName = new Map<string, Claimant>();
  /** By id, then by version. */
  readonly #versions = new Map<string, Map<string | undefined, Claimant>>();
  readonly #defaultById = new Map<string, Claimant>();

  claim(claimant: Claimant): NameConflict | undefined {
    const { id, aliases, version, isDefault } = claimant;
    const conflict = this.#conflict(claimant);
    if (conflict !== undefined) return conflict;
    for (const name of [id, ...aliases]) if (!this.#holderByName.has(name)) this.#holderByName.set(name, claimant);
    const versions = this.#versions.get(id);
    if (versions === undefined) this.#versions.set(id, new Map([[version, claimant]]));
    else versions.set(version, claimant);
    if (isDefault) this.#defaultById.set(id, claimant);
    return undefined;
  }

  #conflict({ id, aliases, version, isDefault }: Claimant): NameConflict | undefined {
    for (const name of [id, ...aliases]) {
      const holder = this.#holderByName.get(name);
      if (holder !== undefined && holder.id !== id) return { over: 'name', name, holder };
    }
    const twin = this.#versions.get(id)?.get(version);
    if (twin !== undefined) return { over: 'version', name: id, holder: twin };
    const rival = isDefault ? this.#defaultById.get(id) : undefined;
    return rival === undefined ? undefined : { over: 'default', name: id, holder: rival };
  }
}

/** Shares the names of models that have one id. */
function shareNames(family: readonly Claimant[], claims: Map<string, Claim>): void {
  const taken = new Set<string>();
  for (const { key, id, aliases, version } of [...family].sort(foremostFirst)) {
    const all = [id, ...aliases];
    const bare = all.filter(name => !taken.has(name));
    for (const name of bare) taken.add(name);
    const versioned = version === undefined ? [] : all.map(name => `${name}@${version}`);
    claims.set(key, { names: [...bare, ...versioned] });
  }
}

function olderFirst(one: Claimant, other: Claimant): number {
  return one.createdAtMs - other.createdAtMs || compare(one.key, other.key);
}

function foremostFirst(one: Claimant, other: Claimant): number {
  return Number(other.isDefault) - Number(one.isDefault) || compareVersions(other.version, one.version);
}

const numeric = new Intl.Collator('en', { numeric: true });

function compareVersions(one: string | undefined, other: string | undefined): number {
  if (one === undefined || other === undefined) return Number(one !== undefined) - Number(other !== undefined);
  return numeric.compare(one, other) || compare(one, other);
}

function compare(one: string, other: string): number {
  return one < other ? -1 : one > other ? 1 : 0;
}
