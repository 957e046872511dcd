import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  type ConsumerClaim,
  type ConsumerClaimant,
  type ConsumerConflict,
  settleConsumers,
} from './consumer-claims.ts';

/** A claim in short: keys and tokens by any text. */
function claimant(key: string, createdAtMs: number, asks: Partial<Record<'keys' | 'tokens' | 'users', string[]>> = {}) {
  const { keys = [], tokens = [], users = [] } = asks;
  const digests = keys.map((sha256, index) => ({ sha256, index }));
  return { key, shortName: key.split('/')[1] ?? '', createdAtMs, digests, tokens, users } satisfies ConsumerClaimant;
}

/** What became of each claim: its names and what it lost, or "over[index] holder". */
function outcome(claims: ReadonlyMap<string, ConsumerClaim>): Record<string, string> {
  const short = ({ over, index, holder }: ConsumerConflict) => `${over}[${index}] ${holder.key}`;
  const told = ({ names, lost = [], conflict }: ConsumerClaim) =>
    conflict === undefined ? [...names, ...lost.map(one => `-${short(one)}`)].join(' ') : short(conflict);
  return Object.fromEntries([...claims].map(([key, claim]) => [key, told(claim)]));
}

describe('claims of Consumers', () => {
  const table: readonly [string, readonly ConsumerClaimant[], Record<string, string>][] = [
    [
      'that share nothing are all met',
      [claimant('ml/a', 1, { keys: ['x'] }), claimant('ml/b', 2, { keys: ['y'], users: ['bea'] })],
      { 'ml/a': 'ml/a a', 'ml/b': 'ml/b b' },
    ],
    [
      'of one short name give it to the older',
      [claimant('prod/a', 2), claimant('ml/a', 1)],
      { 'ml/a': 'ml/a a', 'prod/a': 'prod/a -name[0] ml/a' },
    ],
    [
      'of equal age are settled by their keys',
      [claimant('b/x', 1), claimant('a/x', 1)],
      { 'a/x': 'a/x x', 'b/x': 'b/x -name[0] a/x' },
    ],
    [
      'of one key leave the younger nothing',
      [claimant('ml/b', 2, { keys: ['y', 'x'] }), claimant('ml/a', 1, { keys: ['x'] })],
      { 'ml/a': 'ml/a a', 'ml/b': 'key[1] ml/a' },
    ],
    [
      'of one token leave the younger nothing',
      [claimant('ml/a', 1, { tokens: ['t'] }), claimant('ml/b', 2, { tokens: ['t'] })],
      { 'ml/a': 'ml/a a', 'ml/b': 'token[0] ml/a' },
    ],
    [
      'of one user leave the younger nothing',
      [claimant('ml/a', 1, { users: ['u'] }), claimant('ml/b', 2, { users: ['v', 'u'] })],
      { 'ml/a': 'ml/a a', 'ml/b': 'user[1] ml/a' },
    ],
    [
      'of a user by the short name of an older one fail',
      [claimant('ml/a', 1), claimant('ml/b', 2, { users: ['a'] })],
      { 'ml/a': 'ml/a a', 'ml/b': 'user[0] ml/a' },
    ],
    [
      'of a user take the short name of a younger one',
      [claimant('ml/a', 2), claimant('ml/b', 1, { users: ['a'] })],
      { 'ml/a': 'ml/a -name[0] ml/b', 'ml/b': 'ml/b b' },
    ],
    [
      'of a user never take a whole name, which is lost to whoever lists it',
      [claimant('ml/a', 2), claimant('ml/b', 1, { users: ['ml/a'] })],
      { 'ml/a': 'ml/a a', 'ml/b': 'ml/b b -user[0] ml/a' },
    ],
    [
      'that failed hold nothing',
      [
        claimant('ml/a', 1, { keys: ['x'] }),
        claimant('ml/b', 2, { keys: ['x', 'y'] }),
        claimant('prod/b', 3, { keys: ['y'] }),
      ],
      { 'ml/a': 'ml/a a', 'ml/b': 'key[0] ml/a', 'prod/b': 'prod/b b' },
    ],
  ];
  for (const [what, claimants, expected] of table) {
    test(what, () => assert.deepEqual(outcome(settleConsumers(claimants, true)), expected));
  }

  const authenticated: typeof table = [
    [
      'of one user leave the younger all but that',
      [claimant('ml/a', 1, { users: ['u'] }), claimant('ml/b', 2, { users: ['v', 'u'] })],
      { 'ml/a': 'ml/a a', 'ml/b': 'ml/b b -user[1] ml/a' },
    ],
    [
      'of a user take no short name',
      [claimant('ml/a', 2), claimant('ml/b', 1, { users: ['a'] })],
      { 'ml/a': 'ml/a a', 'ml/b': 'ml/b b' },
    ],
    [
      'of a whole name are lost to its own',
      [claimant('ml/a', 2), claimant('ml/b', 1, { users: ['ml/a'] })],
      { 'ml/a': 'ml/a a', 'ml/b': 'ml/b b -user[0] ml/a' },
    ],
    [
      'of one key leave the younger nothing',
      [claimant('ml/b', 2, { keys: ['x'] }), claimant('ml/a', 1, { keys: ['x'] })],
      { 'ml/a': 'ml/a a', 'ml/b': 'key[0] ml/a' },
    ],
  ];
  for (const [what, claimants, expected] of authenticated) {
    test(`${what}, where the user header makes nobody another`, () =>
      assert.deepEqual(outcome(settleConsumers(claimants, false)), expected));
  }

  const few = (...values: string[]) => fc.uniqueArray(fc.constantFrom(...values), { maxLength: 2 });
  const claimants = fc.uniqueArray(
    fc
      .record({
        key: fc.constantFrom('a/x', 'a/y', 'b/x', 'b/y', 'c/z'),
        createdAtMs: fc.nat(3),
        keys: few('k1', 'k2', 'k3'),
        tokens: few('t1', 't2'),
        users: few('x', 'a/x', 'u'),
      })
      .map(({ key, createdAtMs, ...asks }) => claimant(key, createdAtMs, asks)),
    { selector: ({ key }) => key },
  );

  test('nothing is with two of them, whatever is claimed', () => {
    fc.assert(
      fc.property(claimants, fc.boolean(), (all, byUser) => {
        const claims = settleConsumers(all, byUser);
        const met = all.flatMap(one => {
          const { names, users = [] } = claims.get(one.key) ?? {};
          return names === undefined ? [] : [{ ...one, names, users: byUser ? users : [] }];
        });
        const owned = met.flatMap(({ digests, tokens, users, names }) => [
          ...digests.map(({ sha256 }) => `key ${sha256}`),
          ...tokens.map(token => `token ${token}`),
          ...new Set([...names, ...users].map(name => `name ${name}`)),
        ]);
        assert.equal(new Set(owned).size, owned.length);
        for (const { key, names } of met) assert.equal(names[0], key);
      }),
    );
  });

  test('the order in which they are told makes no difference', () => {
    fc.assert(
      fc.property(claimants, all =>
        assert.deepEqual(outcome(settleConsumers(all.toReversed(), true)), outcome(settleConsumers(all, true))),
      ),
    );
  });

  test('a younger claim takes nothing from the older ones', () => {
    fc.assert(
      fc.property(claimants, all => {
        const young = claimant('d/x', 9, { keys: ['k1'], tokens: ['t1'], users: ['u'] });
        const { 'd/x': _, ...others } = outcome(settleConsumers([young, ...all], true));
        assert.deepEqual(others, outcome(settleConsumers(all, true)));
      }),
    );
  });
});
