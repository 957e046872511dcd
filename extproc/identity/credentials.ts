import { type Refusal, refuse } from '../../errors/refusal.ts';
import type { HeaderLookup } from '../request/head.ts';

/** What a caller has sent to be known by. */
export interface Credentials {
  /** The key or token; empty when there is none. */
  readonly secret: string;
  /** `authorization` is there, and is not `Bearer …`. */
  readonly otherScheme: boolean;
}

const BEARER = /^bearer(?:[ \t]+(.*))?$/is;
// A 401 names what the server takes, and what was wrong with it: https://www.rfc-editor.org/rfc/rfc6750#section-3
const CHALLENGE = Object.freeze({ 'www-authenticate': 'Bearer realm="fairlead"' });
const REJECTION = Object.freeze({ 'www-authenticate': 'Bearer realm="fairlead", error="invalid_token"' });

type UnauthorizedCode = 'missing_api_key' | 'invalid_api_key' | 'invalid_token';

/** A 401. */
export function refuseCaller(code: UnauthorizedCode, message: string): Refusal {
  return refuse(code, { message, headers: code === 'missing_api_key' ? CHALLENGE : REJECTION });
}

/**
 * Reads `authorization: Bearer …` and `x-api-key`. One may stand in for the other, and both may say the same;
 * `invalid_api_key` when they differ, or when one of them was sent more than once. Another scheme than Bearer is
 * something else's.
 */
export function readCredentials(headers: HeaderLookup): Credentials | Refusal {
  const authorization = single(headers, 'authorization');
  if (typeof authorization === 'object') return authorization;
  const apiKey = single(headers, 'x-api-key');
  if (typeof apiKey === 'object') return apiKey;
  const bearer = BEARER.exec(authorization);
  const token = bearer?.[1] ?? '';
  if (token !== '' && apiKey !== '' && token !== apiKey) {
    return refuseCaller(
      'invalid_api_key',
      'The authorization and x-api-key headers hold different keys. Send one key.',
    );
  }
  return { secret: token === '' ? apiKey : token, otherScheme: authorization !== '' && bearer === null };
}

function single(headers: HeaderLookup, name: string): string | Refusal {
  const values = headers.all(name);
  if (values.length > 1) return refuseRepeated(name);
  return values[0]?.trim() ?? '';
}

function refuseRepeated(name: string): Refusal {
  return refuseCaller('invalid_api_key', `The ${name} header was sent more than once. Send one key.`);
}
