/** Statuses whose type Anthropic's API names; every other is its own class's (https://docs.anthropic.com/en/api/errors). */
const TYPES: Readonly<Record<number, string>> = {
  401: 'authentication_error',
  403: 'permission_error',
  404: 'not_found_error',
  413: 'request_too_large',
  429: 'rate_limit_error',
  503: 'overloaded_error',
  504: 'timeout_error',
};

/** Anthropic's `error.type` of a status that we answer. */
export function anthropicType(status: number): string {
  return TYPES[status] ?? (status < 499 ? 'invalid_request_error' : 'api_error');
}
