import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AdmissionTally } from './admission-tally.ts';

const limitOf = (text: string, owner = 'ml/a', scope: 'consumer' | 'model' | 'gateway' = 'consumer') =>
  ({ scope, owner, text, unit: 'requests', limit: 1, shadow: false }) as const;

test('consumers and limits beyond a thousand are counted together', () => {
  const tally = new AdmissionTally();
  for (let i = 0; i < 1_200; i++) {
    tally.used(`ml/${i}`, 10, 1, 5, 'EUR');
    tally.checked(limitOf(`limit ${i}`), 'admitted');
  }
  tally.used('ml/3', 1, 1, 0, 'USD');
  const { checks, consumers } = tally.snapshot();
  assert.deepEqual([checks.length, consumers.length], [1_001, 1_001]);
  assert.deepEqual(checks.at(-1), { scope: 'consumer', limit: 'other', outcome: 'admitted', count: 200 });
  assert.deepEqual(consumers.at(-1), {
    consumer: 'other',
    requests: 200,
    inputTokens: 2_000,
    outputTokens: 200,
    spent: [{ currency: 'EUR', nano: 1_000 }],
  });
  assert.deepEqual(consumers[3], {
    consumer: 'ml/3',
    requests: 2,
    inputTokens: 11,
    outputTokens: 2,
    spent: [{ currency: 'EUR', nano: 5 }],
  });
});

test('consumers that are gone make room', () => {
  const tally = new AdmissionTally();
  for (let i = 0; i < 1_200; i++) tally.used(`ml/${i}`, 0, 0, 0, '');
  tally.keepOnly(
    consumer => consumer === 'ml/1',
    () => true,
  );
  tally.used('ml/new', 0, 0, 0, '');
  assert.deepEqual(
    tally.snapshot().consumers.map(({ consumer }) => consumer),
    ['ml/1', 'other', 'ml/new'],
  );
});

test('limits of consumers and models that are gone make room, those of all others stay', () => {
  const tally = new AdmissionTally();
  tally.checked(limitOf('of nobody', '', 'gateway'), 'admitted');
  tally.checked(limitOf('of the model', 'ml/llama', 'model'), 'admitted');
  tally.checked(limitOf('of a model that goes', 'ml/1', 'model'), 'admitted');
  for (let i = 0; i < 1_200; i++) tally.checked(limitOf(`limit ${i}`, `ml/${i}`), 'admitted');
  tally.keepOnly(
    consumer => consumer === 'ml/1',
    model => model === 'ml/llama',
  );
  tally.checked(limitOf('new', 'ml/new'), 'refused');
  assert.deepEqual(
    tally.snapshot().checks.map(({ limit }) => limit),
    ['of nobody', 'of the model', 'limit 1', 'other', 'new'],
  );
});
