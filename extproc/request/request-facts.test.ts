import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BodyFacts } from './body-facts.ts';
import { INFERENCE_ENDPOINTS } from './endpoints.ts';
import { estimateTokens } from './request-facts.ts';

function estimated(path: string, bodyBytes: number, maxOutputTokens?: number) {
  const endpoint = INFERENCE_ENDPOINTS.find(endpoint => endpoint.path === path);
  assert.ok(endpoint);
  const insertion = { kind: 'json', at: 1, comma: true } as const;
  const facts: BodyFacts = {
    model: undefined,
    stream: false,
    maxOutputTokens,
    answers: 1,
    streamOptions: undefined,
    file: undefined,
    insertion,
  };
  return estimateTokens(endpoint, bodyBytes, facts);
}

test('a prompt is a quarter of its bytes', () => {
  assert.equal(estimated('/v1/chat/completions', 4_000).promptTokens, 1_000);
  assert.equal(estimated('/v1/chat/completions', 1).promptTokens, 1);
});

test("a client's limit lowers the estimate of the answer and never raises it", () => {
  const typical = estimated('/v1/chat/completions', 100).outputTokens;
  assert.ok(typical > 0);
  assert.equal(estimated('/v1/chat/completions', 100, 1).outputTokens, 1);
  assert.equal(estimated('/v1/chat/completions', 100, 0).outputTokens, 0);
  assert.equal(estimated('/v1/chat/completions', 100, 1e300).outputTokens, typical);
});

test('what generates no text has no output tokens', () => {
  for (const path of ['/v1/embeddings', '/v1/rerank', '/v1/classify', '/v1/audio/speech', '/v1/images/generations']) {
    assert.equal(estimated(path, 100, 50).outputTokens, 0, path);
  }
});
