import assert from 'node:assert/strict';
import { test } from 'node:test';
import { INFERENCE_ENDPOINTS, refuseModelType, serves } from './endpoints.ts';

/** api.md §2, by hand. */
const SERVED: Record<string, string[]> = {
  'text-generation': ['/v1/chat/completions', '/v1/completions', '/v1/responses', '/v1/messages'],
  'image-text-to-text': ['/v1/chat/completions', '/v1/responses', '/v1/messages'],
  'text-embeddings': ['/v1/embeddings'],
  'text-ranking': ['/v1/rerank'],
  'text-classification': ['/v1/classify'],
  'automatic-speech-recognition': ['/v1/audio/transcriptions', '/v1/audio/translations'],
  'text-to-speech': ['/v1/audio/speech'],
  'text-to-image': ['/v1/images/generations'],
};

for (const [type, paths] of Object.entries(SERVED)) {
  test(`${type} is served at ${paths.join(', ')} and nowhere else`, () => {
    assert.deepEqual(
      INFERENCE_ENDPOINTS.filter(endpoint => serves(endpoint, type)).map(endpoint => endpoint.path),
      paths,
    );
  });
}

test('no endpoint serves a type outside the table', () => {
  const types = new Set(INFERENCE_ENDPOINTS.flatMap(endpoint => endpoint.modelTypes));
  assert.deepEqual([...types].sort(), Object.keys(SERVED).sort());
});

test('only the audio uploads are multipart, only messages speaks Anthropic', () => {
  const multipart = INFERENCE_ENDPOINTS.filter(endpoint => endpoint.content === 'multipart');
  assert.deepEqual(
    multipart.map(endpoint => endpoint.path),
    ['/v1/audio/transcriptions', '/v1/audio/translations'],
  );
  const anthropic = INFERENCE_ENDPOINTS.filter(endpoint => endpoint.dialect === 'anthropic');
  assert.deepEqual(
    anthropic.map(endpoint => endpoint.path),
    ['/v1/messages'],
  );
});

test('a model of the wrong type is refused with the way to go', () => {
  const [chat] = INFERENCE_ENDPOINTS;
  assert.ok(chat);
  const refusal = refuseModelType(chat, 'text-embeddings');
  assert.equal(refusal.code, 'unsupported_endpoint');
  assert.match(refusal.message, /type text-embeddings\. Send it to \/v1\/embeddings\./);
});
