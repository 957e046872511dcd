import { type ErrorDialect, errorBody } from '../errors/body.ts';
import { errorSpec } from '../errors/codes.ts';
import { OWN_DETAILS_PREFIX } from '../errors/envoy-replies.ts';
import type { Refusal } from '../errors/refusal.ts';
import { EXCHANGE_NAMESPACE, type ExchangeFact } from '../proto/exchange-names.ts';
import type { Immediate } from './server/encode.ts';

/**
 * What the gateway answers by itself where nothing is wrong.
 *
 * @param consumer name of the caller, for the records; undefined where nobody was asked for it
 */
export function jsonAnswer(value: object, consumer: string | undefined): Immediate {
  return {
    status: 200,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(value),
    details: `${OWN_DETAILS_PREFIX}answered`,
    ...metadataOf({ model: undefined, consumer }),
  };
}

interface RefusedRequest {
  /** Public id: the refusal is counted as that model's. */
  readonly model: string | undefined;
  /** Name of the caller. */
  readonly consumer: string | undefined;
}

/**
 * The answer to a request that is not served, in the shape that the client's SDK reads.
 *
 * @param about what is known of the request by then, for the records
 */
export function refusalAnswer(refusal: Refusal, dialect: ErrorDialect, about: RefusedRequest): Immediate {
  const { code, retryAfterSeconds } = refusal;
  return {
    status: errorSpec(code).status,
    headers: {
      'content-type': 'application/json',
      ...refusal.headers,
      ...(retryAfterSeconds !== undefined && { 'retry-after': String(Math.ceil(retryAfterSeconds)) }),
    },
    body: errorBody(refusal, dialect),
    details: OWN_DETAILS_PREFIX + code,
    ...metadataOf(about),
  };
}

function metadataOf({ model, consumer }: RefusedRequest): Pick<Immediate, 'metadata'> {
  if (model === undefined && consumer === undefined) return {};
  const facts = { ...(model !== undefined && { model }), ...(consumer !== undefined && { consumer }) };
  return { metadata: { [EXCHANGE_NAMESPACE]: facts satisfies Partial<Record<ExchangeFact, string>> } };
}
