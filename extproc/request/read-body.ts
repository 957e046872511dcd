import type { Refusal } from '../../errors/refusal.ts';
import type { Gateway } from '../../proto/gen/fairlead/v1/table_pb.js';
import type { BodyFacts } from './body-facts.ts';
import { checkBodyLength, type InferenceHead } from './head.ts';
import { readJsonBody } from './json-body.ts';
import { readMultipartBody } from './multipart-body.ts';

/** Reads the whole body that came after a head, as the kind of content that its endpoint takes. */
export function readBody(
  { endpoint, contentType }: InferenceHead,
  body: Uint8Array,
  { maxBodyBytes, validation }: Gateway,
): BodyFacts | Refusal {
  const tooLarge = checkBodyLength(body.length, maxBodyBytes);
  if (tooLarge) return tooLarge;
  return endpoint.content === 'json' ? readJsonBody(body, validation, endpoint) : readMultipartBody(body, contentType);
}
