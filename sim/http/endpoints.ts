import { type ApiError, anthropicError, isApiError, openAiError } from './api-error.ts';
import { readChat } from './chat.ts';
import { readCompletion } from './completions.ts';
import { readEmbeddings } from './embeddings.ts';
import { type JsonObject, parseJsonBody } from './json-body.ts';
import { readMessages } from './messages.ts';
import { readClassify, readRerank } from './ranking.ts';
import { readResponse } from './responses.ts';
import { readTranscription } from './transcriptions.ts';
import type { Work } from './work.ts';

/** A path that answers POST: how its body is read, and how it says errors. */
export interface InferenceEndpoint {
  read(body: Buffer, contentType: string | undefined): (Work | ApiError) | Promise<Work | ApiError>;
  errorBody(error: ApiError): object;
}

function jsonEndpoint(read: (body: JsonObject) => Work | ApiError, errorBody = openAiError): InferenceEndpoint {
  return {
    errorBody,
    read(body, contentType) {
      const parsed = parseJsonBody(body, contentType);
      return isApiError(parsed) ? parsed : read(parsed);
    },
  };
}

const transcription: InferenceEndpoint = { read: readTranscription, errorBody: openAiError };

/** The inference endpoints by path. */
export const INFERENCE_ENDPOINTS: Readonly<Record<string, InferenceEndpoint>> = {
  '/v1/chat/completions': jsonEndpoint(readChat),
  '/v1/completions': jsonEndpoint(readCompletion),
  '/v1/responses': jsonEndpoint(readResponse),
  '/v1/messages': jsonEndpoint(readMessages, anthropicError),
  '/v1/embeddings': jsonEndpoint(readEmbeddings),
  '/v1/rerank': jsonEndpoint(readRerank),
  '/v1/classify': jsonEndpoint(readClassify),
  '/v1/audio/transcriptions': transcription,
  '/v1/audio/translations': transcription,
};
