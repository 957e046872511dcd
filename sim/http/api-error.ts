/** An error as vLLM answers it. */
export interface ApiError {
  readonly status: number;
  /** vLLM's name of the kind, such as `BadRequestError`. */
  readonly type: string;
  readonly message: string;
  readonly param: string | null;
}

export function badRequest(message: string, param: string | null = null): ApiError {
  return { status: 400, type: 'BadRequestError', message, param };
}

export function modelNotFound(model: string): ApiError {
  return { status: 404, type: 'NotFoundError', message: `The model \`${model}\` does not exist.`, param: 'model' };
}

/** Tells an error from what a reader returns otherwise. */
export function isApiError(value: object): value is ApiError {
  return 'status' in value && 'param' in value;
}

/** The body on OpenAI's paths: unlike OpenAI itself, vLLM puts the status where the code belongs. */
export function openAiError({ status, type, message, param }: ApiError): object {
  return { error: { message, type, param, code: status } };
}

/** The body on `/v1/messages`. */
export function anthropicError({ status, message }: ApiError): object {
  const type = ANTHROPIC_TYPES[status] ?? (status >= 500 ? 'api_error' : 'invalid_request_error');
  return { type: 'error', error: { type, message } };
}

const ANTHROPIC_TYPES: Readonly<Record<number, string>> = {
  404: 'not_found_error',
  429: 'rate_limit_error',
  503: 'overloaded_error',
};
