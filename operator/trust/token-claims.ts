import { fieldsOf, parse } from '../api/api-failure.ts';

/** What a ServiceAccount's token says of itself. Nobody has vouched for it: of use to refuse only. */
interface TokenClaims {
  readonly audiences: readonly string[];
  /** "system:serviceaccount:<namespace>:<name>" */
  readonly subject: string;
  /** Milliseconds since the epoch. */
  readonly expiresAtMs: number;
}

/** Reads the payload of a JSON Web Token; undefined when it is none of a ServiceAccount. */
export function readClaims(token: string): TokenClaims | undefined {
  const [, payload = '', signature, ...more] = token.split('.');
  if (!signature || more.length > 0) return undefined;
  const { aud, sub, exp } = fieldsOf(parse(Buffer.from(payload, 'base64url').toString('utf8')));
  if (!Array.isArray(aud) || typeof sub !== 'string' || typeof exp !== 'number') return undefined;
  return { audiences: aud.map(String), subject: sub, expiresAtMs: exp * 1_000 };
}
