import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { claimText, claimTexts, type TokenClaims } from './token-claims.ts';

const CLAIMS: TokenClaims = {
  sub: 'abc',
  count: 7,
  huge: 2 ** 53,
  half: 1.5,
  admin: true,
  nothing: null,
  org: { team: 'a', unit: { name: 'lab' } },
  groups: ['x', 8, 9.5, null, ['nested'], { y: 1 }, 'z'],
  'https://acme.example/team': 'b',
  'org.name': 'whole',
  'tenant.of': { user: 'deep' },
};

const CASES: readonly (readonly [path: string, texts: readonly string[], text: string | undefined])[] = [
  ['sub', ['abc'], 'abc'],
  ['count', ['7'], '7'],
  // Rounded, so that other tokens have the same.
  ['huge', [], undefined],
  ['half', [], undefined],
  ['admin', ['true'], 'true'],
  ['nothing', [], undefined],
  ['absent', [], undefined],
  ['org', [], undefined],
  ['org.team', ['a'], 'a'],
  ['org.unit.name', ['lab'], 'lab'],
  ['org.absent', [], undefined],
  ['sub.length', [], undefined],
  ['groups', ['x', '8', 'z'], undefined],
  ['groups.0', [], undefined],
  ['groups.length', [], undefined],
  ['https://acme.example/team', ['b'], 'b'],
  ['org.name', ['whole'], 'whole'],
  ['tenant.of.user', ['deep'], 'deep'],
  ['__proto__', [], undefined],
  ['constructor.name', [], undefined],
  ['toString', [], undefined],
  ['', [], undefined],
  ['.', [], undefined],
  ['org.', [], undefined],
];

describe('claims', () => {
  for (const [path, texts, text] of CASES) {
    test(`${path || '(empty)'}: ${text ?? (texts.join(', ') || 'nothing')}`, () => {
      assert.deepEqual(claimTexts(CLAIMS, path), texts);
      assert.equal(claimText(CLAIMS, path), text);
    });
  }
});
