import { isRefusal, type Refusal, refuse } from '../../errors/refusal.ts';
import { AUTHENTICATION_HEADER } from '../../proto/exchange-names.ts';
import { AuthenticationMode, type Gateway, type JwtIssuer } from '../../proto/gen/fairlead/v1/table_pb.js';
import type { HeaderLookup } from '../request/head.ts';
import { checkApiKey, digestOf, MAX_API_KEY_BYTES } from './api-key.ts';
import { anonymous, type Caller, callerOf } from './caller.ts';
import type { ConsumerEntry } from './consumer-entry.ts';
import type { ConsumerIndex } from './consumer-index.ts';
import { type Credentials, readCredentials, refuseCaller } from './credentials.ts';
import { claimText, type VerifiedTokens } from './token-claims.ts';
import { userLabel } from './user-label.ts';

const { AUTHENTICATION_NONE, AUTHENTICATION_API_KEYS, AUTHENTICATION_JWT, AUTHENTICATION_API_KEYS_OR_JWT } =
  AuthenticationMode;

const SEND_KEY = 'Send one as authorization: Bearer KEY, or as x-api-key: KEY.';
const SEND_TOKEN = 'Send one as authorization: Bearer TOKEN.';
const SEND_EITHER = 'Send one as authorization: Bearer KEY or authorization: Bearer TOKEN.';
/** How every JSON Web Token begins: `{"` in base64url. */
const TOKEN_START = 'eyJ';

/**
 * Who calls, or why that cannot be told (401; 400 for a `user` header that is no name). What was sent as a key or
 * token is never repeated. A mode that is not known here identifies nobody, and lets nobody pass.
 *
 * Under authentication none the `user` header alone names the caller. Otherwise the caller is the consumer of the key,
 * or of the token that Envoy has verified and taken out of the headers; `user` is a label within it.
 *
 * @param nowMs milliseconds since the epoch, by which keys expire
 */
export function identify(
  headers: HeaderLookup,
  tokens: VerifiedTokens,
  gateway: Gateway,
  index: ConsumerIndex,
  nowMs: number,
): Caller | Refusal {
  const mode = modeFor(headers, gateway);
  if (mode === AUTHENTICATION_NONE) return callerByUser(headers, index);
  const consumer = authenticate(mode, headers, tokens, gateway, index, nowMs);
  if (isRefusal(consumer)) return consumer;
  const user = userLabel(headers);
  return typeof user === 'object' ? user : callerOf(consumer, user);
}

/**
 * A connection older than the last change of mode may come from where the gateway is not open any more: whoever uses it
 * is asked still.
 */
function modeFor(headers: HeaderLookup, { authentication }: Gateway): AuthenticationMode | undefined {
  if (authentication?.mode !== AUTHENTICATION_NONE) return authentication?.mode;
  const asked = headers.get(AUTHENTICATION_HEADER);
  return asked === undefined ? AUTHENTICATION_NONE : Number(asked);
}

function callerByUser(headers: HeaderLookup, index: ConsumerIndex): Caller | Refusal {
  const user = userLabel(headers);
  if (typeof user === 'object') return user;
  const consumer = user === '' ? undefined : index.ofUser(user);
  return consumer === undefined ? anonymous(user) : callerOf(consumer, user);
}

function authenticate(
  mode: AuthenticationMode | undefined,
  headers: HeaderLookup,
  tokens: VerifiedTokens,
  { authentication }: Gateway,
  index: ConsumerIndex,
  nowMs: number,
): ConsumerEntry | Refusal {
  const { jwtIssuers = [] } = authentication ?? {};
  switch (mode) {
    case AUTHENTICATION_API_KEYS:
      return consumerByKey(headers, index, nowMs);
    case AUTHENTICATION_JWT:
      return consumerByToken(tokens, jwtIssuers, index) ?? refuseWithoutToken(headers);
    case AUTHENTICATION_API_KEYS_OR_JWT:
      return consumerByEither(headers, consumerByToken(tokens, jwtIssuers, index), index, nowMs);
    default:
      return refuse('gateway_unavailable', {
        message: 'The gateway cannot tell who is calling. Its operator must upgrade it, or set its authentication.',
      });
  }
}

function consumerByKey(headers: HeaderLookup, index: ConsumerIndex, nowMs: number): ConsumerEntry | Refusal {
  const sent = readCredentials(headers);
  if (isRefusal(sent)) return sent;
  if (sent.secret === '') return refuseMissing(sent, 'API key', SEND_KEY);
  const found = holderOf(sent.secret, index, nowMs);
  if (found !== undefined) return found;
  if (sent.secret.startsWith(TOKEN_START)) {
    return refuseCaller('invalid_api_key', `This gateway takes API keys, and no tokens. ${SEND_KEY}`);
  }
  return refuseUnknownKey(sent.secret);
}

/** @param byToken whose token came with the request, if one came */
function consumerByEither(
  headers: HeaderLookup,
  byToken: ConsumerEntry | Refusal | undefined,
  index: ConsumerIndex,
  nowMs: number,
): ConsumerEntry | Refusal {
  const sent = readCredentials(headers);
  if (isRefusal(sent)) return sent;
  if (sent.secret === '') return byToken ?? refuseMissing(sent, 'API key or token', SEND_EITHER);
  if (byToken !== undefined && isRefusal(byToken)) return byToken;
  const found = holderOf(sent.secret, index, nowMs);
  if (found === undefined) {
    return sent.secret.startsWith(TOKEN_START) ? refuseUnreadToken() : refuseUnknownKey(sent.secret);
  }
  if (byToken === undefined || isRefusal(found) || found.key === byToken.key) return found;
  return refuseCaller('invalid_api_key', 'The token and the API key belong to different consumers. Send one of them.');
}

/** Who holds the key: undefined when nobody does, `invalid_api_key` when it is over. */
function holderOf(secret: string, index: ConsumerIndex, nowMs: number): ConsumerEntry | Refusal | undefined {
  if (isTooLong(secret)) return undefined;
  const held = index.ofDigest(digestOf(secret));
  if (held === undefined || held.expiresAtMs === 0 || nowMs < held.expiresAtMs) return held?.consumer;
  const since = new Date(held.expiresAtMs).toISOString();
  return refuseCaller('invalid_api_key', `This API key expired at ${since}. Ask for a new one.`);
}

/** Whose the verified token is: undefined when none came, `invalid_token` when it is nobody's. */
function consumerByToken(
  tokens: VerifiedTokens,
  issuers: readonly JwtIssuer[],
  index: ConsumerIndex,
): ConsumerEntry | Refusal | undefined {
  for (const { name, issuer, consumerClaim } of issuers) {
    const claims = tokens.claims(name);
    if (claims === undefined) continue;
    const named = consumerClaim === '' ? undefined : claimText(claims, consumerClaim);
    const consumer = index.ofToken(issuer, claims) ?? (named === undefined ? undefined : index.named(named));
    return consumer ?? refuseOwnerless();
  }
  return undefined;
}

function refuseOwnerless(): Refusal {
  return refuseCaller(
    'invalid_token',
    "The token is valid, but belongs to no consumer. Ask the gateway's operator for access.",
  );
}

function refuseWithoutToken(headers: HeaderLookup): Refusal {
  const sent = readCredentials(headers);
  if (isRefusal(sent)) return sent;
  if (sent.secret === '') return refuseMissing(sent, 'token', SEND_TOKEN);
  if (sent.secret.startsWith(TOKEN_START)) return refuseUnreadToken();
  return refuseCaller('invalid_token', `This gateway takes tokens (JWT), and no API keys. ${SEND_TOKEN}`);
}

/** Envoy verifies what begins with exactly `Bearer eyJ`; everything else comes here. */
function refuseUnreadToken(): Refusal {
  return refuseCaller(
    'invalid_token',
    'The token was not read. Send it as authorization: Bearer TOKEN, with a capital B and one space.',
  );
}

function refuseMissing({ otherScheme }: Credentials, what: string, advice: string): Refusal {
  const seen = otherScheme ? ': the authorization header is not of the form Bearer …' : '';
  return refuseCaller('missing_api_key', `No ${what} was sent${seen}. ${advice}`);
}

function refuseUnknownKey(secret: string): Refusal {
  return refuseCaller('invalid_api_key', unknownKeyMessage(secret));
}

function unknownKeyMessage(secret: string): string {
  if (isTooLong(secret)) return `This is longer than any API key (${MAX_API_KEY_BYTES} bytes). ${SEND_KEY}`;
  // Envoy joins some headers that were sent several times.
  if (secret.includes(',')) return 'This API key is not known. It has a comma: was its header sent twice?';
  switch (checkApiKey(secret)) {
    case 'ours':
      return 'This API key is not known: it was withdrawn, or is of another gateway. Ask for a new one.';
    case 'mistyped':
      return 'This API key has a typing error: its checksum does not fit. Copy the whole key once more.';
    case 'foreign':
      return 'This API key is not known. Check it for typing errors, or ask for a new one.';
  }
}

function isTooLong(secret: string): boolean {
  return secret.length > MAX_API_KEY_BYTES || Buffer.byteLength(secret) > MAX_API_KEY_BYTES;
}
