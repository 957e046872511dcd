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

/**
 * Whose a token is by its claims. Each match is filed under one of its claims, so that a token is compared with those
 * only that have that one in common with it.
 */
export class TokenMatches {
  /** By issuer, then by the path of the claim that the matches are filed under. */
  readonly #byIssuer = new Map<string, Map<string, Register<TokenMatch>>>();

  /** A match without claims would be every token's of the issuer, and is nobody's. */
  add(consumer: ConsumerEntry, { issuer, claims }: JwtMatch): void {
    const filed = filedUnder(claims);
    if (filed === undefined) return;
    const paths = this.#byIssuer.get(issuer) ?? new Map<string, Register<TokenMatch>>();
    const register = paths.get(filed.path) ?? new Register<TokenMatch>(match => match.consumer.key);
    register.add(filed.value, { consumer, claims: Object.entries(claims) });
    this.#byIssuer.set(issuer, paths.set(filed.path, register));
  }

  remove(consumer: ConsumerEntry, { issuer, claims }: JwtMatch): void {
    const filed = filedUnder(claims);
    const paths = this.#byIssuer.get(issuer);
    const register = filed && paths?.get(filed.path);
    if (filed === undefined || paths === undefined || register === undefined) return;
    register.remove(filed.value, consumer.key);
    if (register.size === 0) paths.delete(filed.path);
    if (paths.size === 0) this.#byIssuer.delete(issuer);
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

/** Under the subject, which hardly two have in common; else under the first claim by its path. */
function filedUnder(claims: JwtMatch['claims']): { path: string; value: string } | undefined {
  const path = Object.hasOwn(claims, SUBJECT) ? SUBJECT : Object.keys(claims).sort()[0];
  return path === undefined ? undefined : { path, value: claims[path] ?? '' };
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
