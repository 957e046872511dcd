import type { TableDelta } from '../../agent/table/route-table.ts';
import { type ConsumerEntry, consumerEntry } from './consumer-entry.ts';
import { Register } from './register.ts';
import type { TokenClaims } from './token-claims.ts';
import { TokenMatches } from './token-matches.ts';

/** An API key of a consumer. */
export interface HeldKey {
  readonly consumer: ConsumerEntry;
  /** Milliseconds since the epoch; 0: never. */
  readonly expiresAtMs: number;
}

const ownKey = ({ key }: ConsumerEntry): string => key;

/** The consumers of the route table, by all that can tell who calls. A change costs what has changed. */
export class ConsumerIndex {
  readonly #byKey = new Map<string, ConsumerEntry>();
  readonly #byDigest = new Register<HeldKey>(held => held.consumer.key);
  readonly #byName = new Register<ConsumerEntry>(ownKey);
  readonly #byUser = new Register<ConsumerEntry>(ownKey);
  readonly #byToken = new TokenMatches();

  /** @param key "<namespace>/<name>" */
  get(key: string): ConsumerEntry | undefined {
    return this.#byKey.get(key);
  }

  /** @param digest SHA-256 of an API key, hex */
  ofDigest(digest: string): HeldKey | undefined {
    return this.#byDigest.get(digest);
  }

  /** By "<namespace>/<name>", or by the name alone where it is this one's. */
  named(name: string): ConsumerEntry | undefined {
    return this.#byName.get(name);
  }

  /** By a value of the `user` header: a name, or one that the Consumer lists. */
  ofUser(user: string): ConsumerEntry | undefined {
    return this.#byName.get(user) ?? this.#byUser.get(user);
  }

  /** By what a verified token says. @param issuer as in the claim `iss` */
  ofToken(issuer: string, claims: TokenClaims): ConsumerEntry | undefined {
    return this.#byToken.find(issuer, claims);
  }

  /** Takes over a new version. */
  apply({ consumers, removedConsumers }: Pick<TableDelta, 'consumers' | 'removedConsumers'>): void {
    for (const key of removedConsumers) this.#remove(key);
    for (const [key, consumer] of consumers) {
      this.#remove(key);
      this.#add(consumerEntry(key, consumer));
    }
  }

  #add(entry: ConsumerEntry): void {
    const { names, users, jwt, apiKeys } = entry.consumer;
    this.#byKey.set(entry.key, entry);
    for (const name of names) this.#byName.add(name, entry);
    for (const user of users) this.#byUser.add(user, entry);
    for (const match of jwt) this.#byToken.add(entry, match);
    for (const { sha256, expiresAtMs } of apiKeys) {
      this.#byDigest.add(hex(sha256), { consumer: entry, expiresAtMs: Number(expiresAtMs) });
    }
  }

  #remove(key: string): void {
    const entry = this.#byKey.get(key);
    if (entry === undefined) return;
    const { names, users, apiKeys } = entry.consumer;
    this.#byKey.delete(key);
    for (const name of names) this.#byName.remove(name, key);
    for (const user of users) this.#byUser.remove(user, key);
    this.#byToken.remove(key);
    for (const { sha256 } of apiKeys) this.#byDigest.remove(hex(sha256), key);
  }
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
