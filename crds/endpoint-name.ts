/** Endpoints by their path after /v1/. */
const ENDPOINTS = [
  'chat/completions',
  'completions',
  'responses',
  'messages',
  'embeddings',
  'rerank',
  'classify',
  'audio/transcriptions',
  'audio/translations',
  'audio/speech',
  'images/generations',
] as const;

export type Endpoint = (typeof ENDPOINTS)[number];

/** Short words for some of them. */
const SHORT = {
  chat: 'chat/completions',
  completion: 'completions',
  embedding: 'embeddings',
  transcriptions: 'audio/transcriptions',
  translations: 'audio/translations',
  speech: 'audio/speech',
  images: 'images/generations',
} as const satisfies Readonly<Record<string, Endpoint>>;

type ShortName = keyof typeof SHORT;

/** Every way to name an endpoint. */
export const ENDPOINT_SPELLINGS = [...ENDPOINTS, ...(Object.keys(SHORT) as ShortName[])] as const;

/** The path after /v1/ of an endpoint by any of its names. */
export function endpointOf(name: Endpoint | ShortName): Endpoint {
  return name in SHORT ? SHORT[name as ShortName] : (name as Endpoint);
}
