import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nearestName } from './nearest-name.ts';

test('the nearest name is found, or none where none is near', () => {
  const strategies = ['random', 'shuffle', 'round-robin', 'least-request', 'throughput'];
  const cases: [given: string, candidates: string[], expected: string | undefined][] = [
    ['leastrequest', strategies, 'least-request'],
    ['LEAST_REQUEST', strategies, 'least-request'],
    ['rnadom', strategies, 'random'],
    ['roundrobbin', strategies, 'round-robin'],
    ['least', strategies, 'least-request'],
    ['weighted', strategies, undefined],
    ['', strategies, undefined],
    ['--', strategies, undefined],
    ['prot', ['port', 'pods'], 'port'],
    ['x', ['port', 'pods'], undefined],
    ['aliasses', ['model', 'aliases'], 'aliases'],
    ['anything', [], undefined],
  ];
  for (const [given, candidates, expected] of cases) assert.equal(nearestName(given, candidates), expected, given);
});
