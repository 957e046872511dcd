import assert from 'node:assert/strict';
import { test } from 'node:test';
import { errorBody } from './body.ts';
import { ERRORS, type ErrorCode, errorSpec } from './codes.ts';
import { isRefusal, refuse } from './refusal.ts';

const CODES = Object.keys(ERRORS) as ErrorCode[];

test('OpenAI’s shape: message, type, code and param, with retry_after where waiting helps', () => {
  const refusal = refuse('invalid_parameter', { message: 'The model must be a string.', param: 'model' });
  assert.deepEqual(JSON.parse(errorBody(refusal, 'openai')), {
    error: {
      message: 'The model must be a string.',
      type: 'invalid_request_error',
      code: 'invalid_parameter',
      param: 'model',
    },
  });
  const { error } = JSON.parse(errorBody(refuse('rate_limit_exceeded', { retryAfterSeconds: 12 }), 'openai'));
  assert.equal(error.retry_after, 12);
  assert.equal(error.param, null);
});

test('Anthropic’s shape: its own types', () => {
  const type = (code: ErrorCode) => JSON.parse(errorBody(refuse(code), 'anthropic')).error.type;
  const types = {
    invalid_json: 'invalid_request_error',
    missing_api_key: 'authentication_error',
    model_not_allowed: 'permission_error',
    model_not_found: 'not_found_error',
    request_too_large: 'request_too_large',
    rate_limit_exceeded: 'rate_limit_error',
    internal_error: 'api_error',
    upstream_reset: 'api_error',
    gateway_unavailable: 'overloaded_error',
    upstream_timeout: 'timeout_error',
  } satisfies Partial<Record<ErrorCode, string>>;
  for (const [code, expected] of Object.entries(types)) assert.equal(type(code as ErrorCode), expected, code);
});

test('every code has an error status, and a message that says what to do, in a sentence', () => {
  for (const code of CODES) {
    const { status, message } = errorSpec(code);
    assert.ok(status >= 400 && status <= 599, code);
    assert.match(message, /^[A-Z].*[.…]/, code);
    assert.equal(JSON.parse(errorBody(refuse(code), 'anthropic')).error.message, message);
  }
});

test('a refusal is told from what is not one', () => {
  assert.ok(isRefusal(refuse('internal_error')));
  assert.ok(!isRefusal({ code: 'x' }));
});
