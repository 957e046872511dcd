import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { LimitDescription } from './limit-rules.ts';
import { durationText, rateLimitFacts } from './rate-limit-headers.ts';

const limitOf = (unit: LimitDescription['unit'], shadow = false): LimitDescription => ({
  owner: '',
  scope: 'consumer',
  text: unit,
  unit,
  limit: 0,
  shadow,
});

describe('what a caller is told', () => {
  it('is of the tightest limit of each kind', () => {
    const facts = rateLimitFacts(
      [
        { used: 1, limit: 100, resetMs: 60_000 },
        { used: 990, limit: 1_000, resetMs: 3_600_000 },
        { used: 10, limit: 50_000, resetMs: 12 },
        { used: 11, limit: 10, resetMs: 1_000 },
      ],
      [limitOf('requests'), limitOf('requests'), limitOf('tokens'), limitOf('output_tokens')],
    );
    assert.deepEqual(facts.headers, {
      'x-ratelimit-limit-requests': '1000',
      'x-ratelimit-remaining-requests': '10',
      'x-ratelimit-reset-requests': '1h0m0s',
      'x-ratelimit-limit-tokens': '10',
      'x-ratelimit-remaining-tokens': '0',
      'x-ratelimit-reset-tokens': '1s',
    });
    assert.deepEqual(facts.metadata, {
      rl_limit_requests: '1000',
      rl_remaining_requests: '10',
      rl_reset_requests: '1h0m0s',
      rl_limit_tokens: '10',
      rl_remaining_tokens: '0',
      rl_reset_tokens: '1s',
    });
  });

  it('is nothing of shadows, concurrency and money, nor where nobody was asked', () => {
    const state = { used: 1, limit: 2, resetMs: 5 };
    const untold = [limitOf('requests', true), limitOf('concurrency'), limitOf('budget')];
    assert.deepEqual(rateLimitFacts([state, state, state], untold).headers, {});
    assert.deepEqual(rateLimitFacts([], [limitOf('requests')]).headers, {});
  });
});

describe('a time until reset', () => {
  const written: [ms: number, expected: string][] = [
    [0, '0s'],
    [11.2, '12ms'],
    [999, '999ms'],
    [1_000, '1s'],
    [1_001, '2s'],
    [59_001, '1m0s'],
    [360_000, '6m0s'],
    [86_400_000, '24h0m0s'],
  ];
  for (const [ms, expected] of written) it(`${ms} ms is ${expected}`, () => assert.equal(durationText(ms), expected));
});
