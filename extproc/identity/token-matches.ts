import type { JwtMatch } from '../../proto/gen/fairlead/v1/table_pb.js';
import type { ConsumerEntry } from './consumer-entry.ts';
import { Register } from './register.ts';
import { claimTexts, type TokenClaims } from './token-claims.ts';

interface TokenMatch {
  readonly consumer: ConsumerEntry;
  /** Path of a claim, and its value. */
  readonly claims: readonly (readonly [path: string, value: string])[];
}

const SUBJECT = 'sub';

/** Where a match is filed: under one of its claims. */
interface Place {
  readonly issuer: string;
  readonly path: string;
  readonly value: string;
}

type Registers = Map<string, Register<TokenMatch>>;

/**
 * Whose a token is by its claims. Each match is filed under that of its claims which the fewest others are filed under,
 * so that a token is compared with few, and a claim that all have in common costs nothing.
 */
export class TokenMatches {
  /** By issuer, then by the path of the claim that the matches are filed under. */
  readonly #byIssuer = new Map<string, Registers>();
  /** By the consumer's key. */
  readonly #places = new Map<string, readonly Place[]>();

  /** A match without claims would be every token's of the issuer, and is nobody's. */
  add(consumer: ConsumerEntry, { issuer, claims: wanted }: JwtMatch): void {
    const claims = Object.entries(wanted);
    const registers: Registers = this.#byIssuer.get(issuer) ?? new Map();
    const [path, value] = leastUsed(claims, registers) ?? [];
    if (path === undefined || value === undefined) return;
    const register = registers.get(path) ?? new Register<TokenMatch>(match => match.consumer.key);
    register.add(value, { consumer, claims });
    this.#byIssuer.set(issuer, registers.set(path, register));
    this.#places.set(consumer.key, [...(this.#places.get(consumer.key) ?? []), { issuer, path, value }]);
  }

  /** Every match of the consumer. */
  remove(consumerKey: string): void {
    for (const { issuer, path, value } of this.#places.get(consumerKey) ?? []) {
      const registers = this.#byIssuer.get(issuer);
      const register = registers?.get(path);
      register?.remove(value, consumerKey);
      if (register?.size === 0) registers?.delete(path);
      if (registers?.size === 0) this.#byIssuer.delete(issuer);
    }
    this.#places.delete(consumerKey);
  }

  /**
   * The consumer with a match of which the token has every claim. Of several: the match with the most claims, then one
   * of the subject, then the first by the consumer's key.
   *
   * @param issuer as in the claim `iss`
   */
  find(issuer: string, claims: TokenClaims): ConsumerEntry | undefined {
    let best: TokenMatch | undefined;
    for (const [path, register] of this.#byIssuer.get(issuer) ?? []) {
      for (const value of claimTexts(claims, path)) {
        for (const match of register.all(value)) {
          if (precedes(match, best) && fits(match, claims)) best = match;
        }
      }
    }
    return best?.consumer;
  }
}

function leastUsed(claims: TokenMatch['claims'], registers: Registers): TokenMatch['claims'][number] | undefined {
  const used = ([path, value]: TokenMatch['claims'][number]) => registers.get(path)?.all(value).length ?? 0;
  return claims.toSorted((one, other) => used(one) - used(other))[0];
}

function fits({ claims }: TokenMatch, token: TokenClaims): boolean {
  return claims.every(([path, value]) => claimTexts(token, path).includes(value));
}

function precedes(match: TokenMatch, other: TokenMatch | undefined): boolean {
  if (other === undefined) return true;
  if (match.claims.length !== other.claims.length) return match.claims.length > other.claims.length;
  const [subject, otherSubject] = [match, other].map(({ claims }) => claims.some(([path]) => path === SUBJECT));
  return subject === otherSubject ? match.consumer.key < other.consumer.key : subject === true;
}
