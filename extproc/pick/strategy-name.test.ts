import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseStrategy, STRATEGY_NAMES } from './strategy-name.ts';

describe('strategy names', () => {
  const spellings: readonly (readonly [spelling: string, name: string | undefined])[] = [
    ['random', 'random'],
    ['shuffle', 'shuffle'],
    ['round-robin', 'round-robin'],
    ['round_robin', 'round-robin'],
    ['least-request', 'least-request'],
    ['least_request', 'least-request'],
    ['throughput', 'throughput'],
    [' Least_Request ', 'least-request'],
    ['roundrobin', undefined],
    ['', undefined],
    ['constructor', undefined],
    ['prefix-cache', undefined],
  ];
  for (const [spelling, name] of spellings) {
    it(`reads "${spelling}" as ${name}`, () => assert.equal(parseStrategy(spelling), name));
  }

  it('are all read as themselves', () => {
    for (const name of STRATEGY_NAMES) assert.equal(parseStrategy(name), name);
  });
});
