import type { ErrorDialect } from '../../errors/body.ts';
import { type Refusal, refuse } from '../../errors/refusal.ts';

/** What a request body of an endpoint is made of. */
export type ContentKind = 'json' | 'multipart';

/** The names of a limit on the answer, in tokens. */
export const OUTPUT_LIMITS = ['max_completion_tokens', 'max_tokens', 'max_output_tokens'] as const;

export type OutputLimit = (typeof OUTPUT_LIMITS)[number];

/** One place where clients ask for inference. All of them are POST. */
export interface InferenceEndpoint {
  /** Canonical path, which is also the path upstream. */
  readonly path: string;
  /** The short form that a model's name may follow, `/v1/chat/{model}`; the canonical path always may be followed. */
  readonly shortPath: string | undefined;
  readonly content: ContentKind;
  /** The `type` of the ModelDeployments that are served here. */
  readonly modelTypes: readonly string[];
  /** Whether the answer is generated token by token, so that its length has to be estimated. */
  readonly generatesText: boolean;
  /** The limits on the answer that engines read here; those of other endpoints mean nothing. */
  readonly outputLimits: readonly OutputLimit[];
  /** Whether `prompt` can be a list of prompts, each of which is answered. */
  readonly takesPromptLists: boolean;
  /** Whose error shape the endpoint's clients expect. */
  readonly dialect: ErrorDialect;
}

type Details = Partial<Omit<InferenceEndpoint, 'path' | 'modelTypes'>>;

const DEFAULTS: Required<Details> = {
  shortPath: undefined,
  content: 'json',
  generatesText: false,
  outputLimits: [],
  takesPromptLists: false,
  dialect: 'openai',
};

function endpoint(path: string, modelTypes: readonly string[], details: Details = {}): InferenceEndpoint {
  return Object.freeze({ path, modelTypes, ...DEFAULTS, ...details });
}

/** Of both, some engines read the one first, some the other. */
const CHAT_LIMITS = ['max_completion_tokens', 'max_tokens'] as const;
const CHAT_TYPES = ['text-generation', 'image-text-to-text'];

/** Every inference endpoint of the gateway. No other place knows their paths or what they serve. */
export const INFERENCE_ENDPOINTS: readonly InferenceEndpoint[] = [
  endpoint('/v1/chat/completions', CHAT_TYPES, {
    shortPath: '/v1/chat',
    generatesText: true,
    outputLimits: CHAT_LIMITS,
  }),
  endpoint('/v1/completions', ['text-generation'], {
    shortPath: '/v1/completion',
    generatesText: true,
    outputLimits: ['max_tokens'],
    takesPromptLists: true,
  }),
  endpoint('/v1/responses', CHAT_TYPES, { generatesText: true, outputLimits: ['max_output_tokens'] }),
  endpoint('/v1/messages', CHAT_TYPES, { generatesText: true, outputLimits: ['max_tokens'], dialect: 'anthropic' }),
  endpoint('/v1/embeddings', ['text-embeddings'], { shortPath: '/v1/embedding' }),
  endpoint('/v1/rerank', ['text-ranking']),
  endpoint('/v1/classify', ['text-classification']),
  endpoint('/v1/audio/transcriptions', ['automatic-speech-recognition'], { content: 'multipart', generatesText: true }),
  endpoint('/v1/audio/translations', ['automatic-speech-recognition'], { content: 'multipart', generatesText: true }),
  endpoint('/v1/audio/speech', ['text-to-speech']),
  endpoint('/v1/images/generations', ['text-to-image']),
];

/** Whether models of this type answer at this endpoint. */
export function serves(endpoint: InferenceEndpoint, modelType: string): boolean {
  return endpoint.modelTypes.includes(modelType);
}

/** Why a model of this type is not served at this endpoint, naming the endpoints that do serve it. */
export function refuseModelType(endpoint: InferenceEndpoint, modelType: string): Refusal {
  const served = INFERENCE_ENDPOINTS.filter(other => serves(other, modelType)).map(other => other.path);
  const advice =
    served.length > 0 ? `Send it to ${served.join(' or ')}.` : 'GET /v1/models tells the type of each model.';
  return refuse('unsupported_endpoint', {
    message: `${endpoint.path} does not serve models of type ${modelType}. ${advice}`,
    param: 'model',
  });
}
