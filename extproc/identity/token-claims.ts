/** A value in a token, as JSON has it. */
type ClaimValue = string | number | boolean | null | readonly ClaimValue[] | { readonly [name: string]: ClaimValue };

/** What a token says. */
export type TokenClaims = { readonly [name: string]: ClaimValue };

/** The claims of the token that Envoy has verified with this request, if there was one. */
export interface VerifiedTokens {
  /** @param issuer name of a `JwtIssuer` of the table, under which Envoy tells the claims */
  claims(issuer: string): TokenClaims | undefined;
}

/** @param jwt what Envoy's token filter told of a request, by the names of issuers; undefined where it told nothing */
export function verifiedTokens(jwt: { readonly [issuer: string]: unknown } | undefined): VerifiedTokens {
  return {
    claims: issuer => {
      const claims = jwt !== undefined && Object.hasOwn(jwt, issuer) ? jwt[issuer] : undefined;
      return typeof claims === 'object' && claims !== null && !Array.isArray(claims)
        ? (claims as TokenClaims)
        : undefined;
    },
  };
}

/**
 * The values of a claim as text, for comparing: one, or each of a list's. Objects and null have none, and numbers only
 * where they are whole and exact: JSON's larger ones were rounded on the way, so that two tokens could look like one.
 *
 * @param path names separated by dots; a name may have dots itself ("https://acme.example/team"), and what is called
 * by the whole path comes first
 */
export function claimTexts(claims: TokenClaims, path: string): readonly string[] {
  const value = claimAt(claims, path);
  if (!isList(value)) {
    const text = textOf(value);
    return text === undefined ? [] : [text];
  }
  return value.map(textOf).filter(text => text !== undefined);
}

/** The value of a claim that has one; undefined for a list, of which nobody could say which element is meant. */
export function claimText(claims: TokenClaims, path: string): string | undefined {
  return textOf(claimAt(claims, path));
}

function claimAt(claims: TokenClaims, path: string): ClaimValue | undefined {
  if (Object.hasOwn(claims, path)) return claims[path];
  for (let dot = path.indexOf('.'); dot >= 0; dot = path.indexOf('.', dot + 1)) {
    const name = path.slice(0, dot);
    const inner = Object.hasOwn(claims, name) ? claims[name] : undefined;
    const value = isObject(inner) ? claimAt(inner, path.slice(dot + 1)) : undefined;
    if (value !== undefined) return value;
  }
  return undefined;
}

function textOf(value: ClaimValue | undefined): string | undefined {
  if (typeof value === 'string') return value;
  return typeof value === 'boolean' || Number.isSafeInteger(value) ? String(value) : undefined;
}

function isList(value: ClaimValue | undefined): value is readonly ClaimValue[] {
  return Array.isArray(value);
}

function isObject(value: ClaimValue | undefined): value is TokenClaims {
  return typeof value === 'object' && value !== null && !isList(value);
}
