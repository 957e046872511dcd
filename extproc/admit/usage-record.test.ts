import assert from 'node:assert/strict';
import { test } from 'node:test';
import { anonymous } from '../identity/caller.ts';
import type { Spend } from './admission.ts';
import { consumer, endpointAt, model } from './sample-request.fixture.ts';
import { usageRecord } from './usage-record.ts';

const spend: Spend = {
  inputTokens: 90,
  cachedInputTokens: 64,
  outputTokens: 20,
  nano: 1_100_000,
  currency: 'EUR',
  estimated: false,
};
const exchange = {
  caller: consumer('team-a', {}, 'ann'),
  entry: model('llama'),
  endpoint: endpointAt('chat/completions'),
  id: 'x1',
  backend: 'h100',
  status: 200,
  nowMs: Date.parse('2026-05-15T12:00:00Z'),
};

test('a usage record says who used what', () => {
  assert.deepEqual(usageRecord(exchange, spend), {
    time: '2026-05-15T12:00:00.000Z',
    id: 'x1',
    consumer: 'ml/team-a',
    user: 'ann',
    model: 'llama',
    backend: 'h100',
    endpoint: '/v1/chat/completions',
    status: 200,
    input_tokens: 90,
    cached_input_tokens: 64,
    output_tokens: 20,
    estimated: false,
    cost: '0.0011',
    currency: 'EUR',
  });
});

test('a usage record of a nameless caller and a free model', () => {
  const { consumer, user, cost, currency } = usageRecord(
    { ...exchange, caller: anonymous('') },
    { ...spend, nano: 0, currency: '' },
  );
  assert.deepEqual([consumer, user, cost, currency], ['anonymous', null, null, null]);
});
