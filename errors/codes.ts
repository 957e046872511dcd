/** What an error code means over HTTP. `message` is the default; most callers say something more exact. */
interface ErrorSpec {
  readonly status: number;
  /** OpenAI's `error.type`. */
  readonly type: string;
  /** What happened and what to do next. */
  readonly message: string;
  /** Seconds after which trying again makes sense; sent as `retry-after` as well. */
  readonly retryAfterSeconds?: number;
}

/**
 * Every error a client of the gateway can see, whether our ext_proc service or Envoy itself makes it.
 * The codes are stable: clients match on them.
 */
export const ERRORS = {
  invalid_json: {
    status: 400,
    type: 'invalid_request_error',
    message: 'The request body is not a JSON object. Send one, with content-type: application/json.',
  },
  missing_model: {
    status: 400,
    type: 'invalid_request_error',
    message: 'No model is named. Set "model" in the body, the x-model header, or the path.',
  },
  model_mismatch: {
    status: 400,
    type: 'invalid_request_error',
    message: 'The request names two different models. Name it once.',
  },
  invalid_parameter: {
    status: 400,
    type: 'invalid_request_error',
    message: 'A parameter of the request has a value that cannot be used.',
  },
  context_length_exceeded: {
    status: 400,
    type: 'invalid_request_error',
    message: 'The request asks for more tokens than the model has context for. Lower max_tokens.',
  },
  unsupported_endpoint: {
    status: 400,
    type: 'invalid_request_error',
    message: 'The model is of a type that this endpoint does not serve. GET /v1/models tells the type of each.',
  },
  unsupported_version: {
    status: 400,
    type: 'invalid_request_error',
    message: 'This version of the API does not exist. Version 1 does: /v1/…',
  },
  unknown_strategy: {
    status: 400,
    type: 'invalid_request_error',
    message: 'The routing-strategy header names no known strategy.',
  },
  bad_request: {
    status: 400,
    type: 'invalid_request_error',
    message: 'The request is not valid HTTP. Check headers, content-length and transfer-encoding.',
  },
  missing_api_key: {
    status: 401,
    type: 'authentication_error',
    message: 'No API key was sent. Send one as authorization: Bearer KEY.',
  },
  invalid_api_key: {
    status: 401,
    type: 'authentication_error',
    message: 'This API key is not known. Check it for typing errors, or ask for a new one.',
  },
  invalid_token: {
    status: 401,
    type: 'authentication_error',
    message: 'The token was not accepted: its issuer, audience, signature or time is wrong. Get a new one.',
  },
  expired_token: { status: 401, type: 'authentication_error', message: 'The token has expired. Get a new one.' },
  model_not_allowed: {
    status: 403,
    type: 'permission_error',
    message: 'You may not use this model. GET /v1/models lists those that you may.',
  },
  upgrade_not_allowed: {
    status: 403,
    type: 'invalid_request_error',
    message: 'The gateway does not upgrade connections. Send plain HTTP requests.',
  },
  model_not_found: {
    status: 404,
    type: 'invalid_request_error',
    message: 'Model not found. GET /v1/models lists those that exist.',
  },
  route_not_found: {
    status: 404,
    type: 'invalid_request_error',
    message: 'No such endpoint. The OpenAI endpoints are under /v1/.',
  },
  method_not_allowed: {
    status: 405,
    type: 'invalid_request_error',
    message: 'This endpoint does not answer that method. The allow header says which it does.',
  },
  request_timeout: {
    status: 408,
    type: 'invalid_request_error',
    message: 'The request did not arrive in time. Send it without pauses.',
  },
  request_too_large: {
    status: 413,
    type: 'invalid_request_error',
    message: 'The request body is larger than the gateway accepts.',
  },
  unsupported_media_type: {
    status: 415,
    type: 'invalid_request_error',
    message: 'This content-type is not served here. Send application/json.',
  },
  upgrade_required: {
    status: 426,
    type: 'invalid_request_error',
    message: 'This HTTP version is too old. Use HTTP/1.1 or HTTP/2.',
  },
  rate_limit_exceeded: {
    status: 429,
    type: 'rate_limit_error',
    message: 'A limit is reached. Wait for retry_after seconds.',
  },
  concurrency_exceeded: {
    status: 429,
    type: 'rate_limit_error',
    message: 'Too many requests are running at once. Wait until one has ended.',
    retryAfterSeconds: 1,
  },
  insufficient_quota: {
    status: 429,
    type: 'rate_limit_error',
    message: 'The budget is used up. Ask for a larger one, or wait until it is renewed.',
  },
  headers_too_large: {
    status: 431,
    type: 'invalid_request_error',
    message: 'The request headers are larger than the gateway accepts.',
  },
  client_closed_request: {
    status: 499,
    type: 'api_error',
    message: 'The client went away before the answer was complete.',
  },
  internal_error: {
    status: 500,
    type: 'api_error',
    message: 'The gateway failed on this request. Try again; tell its operator the x-request-id.',
  },
  upstream_error: {
    status: 502,
    type: 'api_error',
    message: 'The model server gave an answer that is not valid HTTP.',
  },
  upstream_reset: {
    status: 502,
    type: 'api_error',
    message: 'The connection to the model server was lost before it answered. Try again.',
  },
  no_ready_endpoints: {
    status: 503,
    type: 'overloaded_error',
    message: 'The model has no endpoint that can be reached now. Try again shortly.',
    retryAfterSeconds: 1,
  },
  overloaded: {
    status: 503,
    type: 'overloaded_error',
    message: 'The gateway has more requests than it can carry. Try again shortly.',
    retryAfterSeconds: 1,
  },
  model_loading: {
    status: 503,
    type: 'overloaded_error',
    message: 'The model is being loaded. Try again shortly.',
    retryAfterSeconds: 5,
  },
  gateway_unavailable: {
    status: 503,
    type: 'overloaded_error',
    message: 'The gateway is not ready for requests. Try again shortly.',
    retryAfterSeconds: 1,
  },
  upstream_connect_timeout: {
    status: 504,
    type: 'timeout_error',
    message: 'The model server did not accept a connection in time.',
  },
  upstream_headers_timeout: {
    status: 504,
    type: 'timeout_error',
    message: 'The model server did not begin its answer in time.',
  },
  upstream_timeout: { status: 504, type: 'timeout_error', message: 'The model did not answer in time.' },
} as const satisfies Record<string, ErrorSpec>;

export type ErrorCode = keyof typeof ERRORS;

/** The table's row for a code. */
export function errorSpec(code: ErrorCode): ErrorSpec {
  return ERRORS[code];
}
