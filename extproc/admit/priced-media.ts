import type { BodyFacts } from '../request/body-facts.ts';
import type { InferenceEndpoint } from '../request/endpoints.ts';
import { audioLength } from './audio-length.ts';

/** What of a request has a price and is no token. */
export interface PricedMedia {
  readonly images: number;
  readonly audioSeconds: number;
  /** The audio's length is guessed from its size. */
  readonly estimated: boolean;
}

export const NO_MEDIA: PricedMedia = Object.freeze({ images: 0, audioSeconds: 0, estimated: false });

/** Images that are asked for, or audio that is sent. What is spoken in answer is not known beforehand. */
export function pricedMedia(endpoint: InferenceEndpoint, body: Uint8Array, facts: BodyFacts): PricedMedia {
  if (endpoint.path.startsWith('/v1/images/')) return { ...NO_MEDIA, images: facts.answers };
  if (!endpoint.path.startsWith('/v1/audio/') || endpoint.content !== 'multipart') return NO_MEDIA;
  const { seconds, estimated } = audioLength(body, facts);
  return { images: 0, audioSeconds: seconds, estimated };
}
