import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { userPath } from './consumer.ts';
import { consumer, problemLines, specOf } from './problem-lines.fixture.ts';
import { readResource } from './read-resource.ts';

const DIGEST = 'a1'.repeat(32);
const OTHER_DIGEST = 'b2'.repeat(32);
/** What no message may show. */
const KEY = 'fl-Zm9yLXRlc3RzLW9ubHktbm90LWEta2V5LWF0LWFsbA';

const NAMELESS = { jwt: [], users: [], limits: [], explain: { allow: false } };

describe('a Consumer that is right', () => {
  test('gets its defaults, also without a spec', () => {
    const expected = { apiKeys: [], ...NAMELESS };
    assert.deepEqual(specOf('Consumer', consumer({})), expected);
    assert.deepEqual(specOf('Consumer', consumer(undefined)), expected);
  });

  test('is known by digests, by Secrets, by tokens and by names', () => {
    const spec = specOf(
      'Consumer',
      consumer({
        apiKeys: [
          { name: 'laptop', sha256: DIGEST.toUpperCase(), expires: '2027-01-01T00:00:00+01:00' },
          { secretRef: { name: 'ci' } },
          { secretRef: { name: 'ci', key: 'next' } },
        ],
        jwt: [
          { issuer: 'https://id.example', subject: 'abc', claims: { 'org.team': 'a' } },
          { issuer: 'https://id.example', claims: { azp: 'batch', 'https://acme.example/team': 'a' } },
        ],
        users: ['alice', 'Alice L.'],
      }),
    );
    assert.deepEqual(spec, {
      ...NAMELESS,
      apiKeys: [
        { name: 'laptop', sha256: DIGEST, expires: '2027-01-01T00:00:00+01:00' },
        { secretRef: { name: 'ci', key: 'api-key' } },
        { secretRef: { name: 'ci', key: 'next' } },
      ],
      jwt: [
        { issuer: 'https://id.example', claims: { 'org.team': 'a', sub: 'abc' } },
        { issuer: 'https://id.example', claims: { azp: 'batch', 'https://acme.example/team': 'a' } },
      ],
      users: ['alice', 'Alice L.'],
    });
  });

  test('may have its one user by another field', () => {
    const spec = specOf('Consumer', consumer({ userHeader: 'al', users: ['alice'] }));
    assert.deepEqual(spec.users, ['alice', 'al']);
    assert.deepEqual(
      spec.users.map((_, index) => userPath(spec, index).join('.')),
      ['spec.users.0', 'spec.userHeader'],
    );
    assert.deepEqual(userPath(specOf('Consumer', consumer({ users: ['alice'] })), 0), ['spec', 'users', 0]);
  });

  test('may use all models, some or none', () => {
    assert.equal(specOf('Consumer', consumer({})).models, undefined);
    assert.deepEqual(specOf('Consumer', consumer({ models: [] })).models, []);
    const models = ['llama', 'llama@2', 'meta-llama/*', '*-instruct', '*'];
    assert.deepEqual(specOf('Consumer', consumer({ models })).models, models);
  });

  test('has a budget of the calendar of UTC unless it says another', () => {
    const budget = { amount: '100.00', currency: 'EUR', period: 'month' };
    const spec = specOf('Consumer', consumer({ budget }));
    assert.deepEqual(spec.budget, { ...budget, timeZone: 'UTC', warnAt: 80 });
    for (const timeZone of ['Europe/Paris', 'America/Argentina/Buenos_Aires', 'CET', 'Asia/Kolkata']) {
      assert.deepEqual(problemLines(consumer({ budget: { ...budget, timeZone } })), []);
    }
  });
});

const NO_DIGEST = 'expected the SHA-256 of a key, 64 hexadecimal digits';
const ADVICE = 'run `fairlead keys new`, which prints its digest';
const TIME = 'expected a time such as `2027-01-01T00:00:00Z`';
const AMOUNT = 'expected an amount as a string such as `"0.10"`, with at most six decimals';
const ZONE = 'expected the name of a time zone, such as `Europe/Paris` or `UTC`';

describe('a Consumer that is wrong', () => {
  const cases: [name: string, spec: object, ...expected: string[]][] = [
    [
      'a key in place of its digest',
      { apiKeys: [{ sha256: KEY }, { sha256: KEY.repeat(5) }] },
      ...[0, 1].map(
        index => `value spec.apiKeys[${index}].sha256: this looks like a key: keep it secret and ${ADVICE}`,
      ),
    ],
    [
      'a digest of another length, and none at all',
      { apiKeys: [{ sha256: DIGEST.slice(1) }, { sha256: 'x' }, { sha256: '' }, { sha256: 12_345_678 }] },
      `value spec.apiKeys[0].sha256: ${NO_DIGEST}, got 63 characters: ${ADVICE}`,
      `value spec.apiKeys[1].sha256: ${NO_DIGEST}, got 1 characters: ${ADVICE}`,
      `value spec.apiKeys[2].sha256: ${NO_DIGEST}, got 0 characters: ${ADVICE}`,
      `value spec.apiKeys[3].sha256: ${NO_DIGEST}`,
    ],
    ['a key in place of the list', { apiKeys: KEY }, 'value spec.apiKeys: expected a list'],
    [
      'a key in place of an element',
      { apiKeys: [KEY] },
      'value spec.apiKeys[0]: expected a mapping with `sha256` or `secretRef`',
    ],
    [
      'a key in place of its Secret',
      { apiKeys: [{ secretRef: KEY }] },
      'value spec.apiKeys[0].secretRef: expected a mapping with the `name` of a Secret',
    ],
    [
      'a key in a field of its own',
      { apiKeys: [{ apiKey: KEY }] },
      'key spec.apiKeys[0].apiKey: unknown field `apiKey`',
    ],
    [
      'a key in place of names',
      { apiKeys: [{ name: KEY, sha256: DIGEST }, { secretRef: { name: KEY, key: `${KEY} ` } }] },
      'value spec.apiKeys[0].name: expected lower-case letters, digits and dashes, got what looks like a key: keep it secret',
      'value spec.apiKeys[1].secretRef.key: expected the name of a key in the Secret: letters, digits, `-`, `_` and `.`, got what looks like a key: keep it secret',
      'value spec.apiKeys[1].secretRef.name: expected lower-case letters, digits, dashes and dots, got what looks like a key: keep it secret',
    ],
    [
      'neither a digest nor a Secret, and both',
      { apiKeys: [{ name: 'a' }, { sha256: DIGEST, secretRef: { name: 'a' } }] },
      'value spec.apiKeys[0]: needs either `sha256` or `secretRef`',
      'value spec.apiKeys[1].secretRef: has both `sha256` and `secretRef`: one must go',
    ],
    [
      'keys twice',
      {
        apiKeys: [
          { name: 'a', sha256: DIGEST },
          { name: 'a', sha256: DIGEST.toUpperCase() },
          { secretRef: { name: 'b' } },
          { secretRef: { name: 'b', key: 'api-key' } },
        ],
      },
      'value spec.apiKeys[1].name: `a` is already the name of apiKeys[0]',
      'value spec.apiKeys[1].sha256: is the digest of apiKeys[0] already',
      'value spec.apiKeys[3].secretRef: is the key of apiKeys[2] already',
    ],
    [
      'an end that is no time',
      {
        apiKeys: [
          { sha256: DIGEST, expires: 'soon' },
          { sha256: OTHER_DIGEST, expires: '2027-01-31' },
          { secretRef: { name: 'a' }, expires: '2027-13-31T00:00:00Z' },
        ],
      },
      `value spec.apiKeys[0].expires: ${TIME}, got \`soon\``,
      `value spec.apiKeys[1].expires: ${TIME}, got \`2027-01-31\`; did you mean \`2027-01-31T00:00:00Z\`?`,
      `value spec.apiKeys[2].expires: ${TIME}, got \`2027-13-31T00:00:00Z\``,
    ],
    [
      'tokens of everybody',
      { jwt: [{ issuer: 'https://a' }, { issuer: 'https://a', claims: {} }] },
      ...[0, 1].map(
        index => `value spec.jwt[${index}]: needs \`subject\` or \`claims\`: every token of the issuer would fit`,
      ),
    ],
    [
      'tokens of two subjects',
      { jwt: [{ issuer: 'https://a', subject: 'x', claims: { sub: 'y' } }] },
      'value spec.jwt[0].claims.sub: is what `subject` says: one must go',
    ],
    [
      'tokens of nobody',
      { jwt: [{ subject: 'x' }, { issuer: '', subject: 'x' }] },
      'value spec.jwt[0].issuer: is missing: expected the issuer of tokens as their claim `iss` has it, such as `https://id.example.com`',
      'value spec.jwt[1].issuer: expected the issuer of tokens as their claim `iss` has it, such as `https://id.example.com`, got ``',
    ],
    [
      'a claim that is no path',
      { jwt: [{ issuer: 'a', claims: { 'a..b': 'x' } }] },
      'value spec.jwt[0].claims["a..b"]: expected the path of a claim, such as `sub` or `org.team`',
    ],
    [
      'a claim that is a number',
      { jwt: [{ issuer: 'a', claims: { uid: 7 } }] },
      'value spec.jwt[0].claims.uid: expected a string, got `7`: put it in quotes',
    ],
    ['userHeader again', { userHeader: 'a', users: ['b', 'a'] }, 'value spec.users[1]: `a` is `userHeader` already'],
    ['a user twice', { users: ['a', 'b', 'a'] }, 'value spec.users[2]: `a` is users[0] already'],
    [
      'models by other wildcards, and by names that nobody has',
      { models: ['a?', '', ' a'] },
      'value spec.models[0]: expected an id, an alias or a pattern whose only wildcard is `*`, which is any characters, `/` too, got `a?`',
      'value spec.models[1]: expected a name, got an empty string',
      'value spec.models[2]: ` a` begins or ends with a space',
    ],
    [
      'an amount that is a number',
      { budget: { amount: 99.5, currency: 'EUR', period: 'day' } },
      `value spec.budget.amount: ${AMOUNT}, got \`99.5\`; did you mean \`"99.5"\`?`,
    ],
    ...(
      [
        ['1,50', '"1.50"'],
        ['€5', '"5"'],
        ['100 EUR', '"100"'],
        ['1,000.00', undefined],
        ['0.1234567', undefined],
        ['-5', undefined],
        ['1e3', undefined],
      ] as const
    ).map(([amount, meant]): [string, object, string] => [
      `the amount ${amount}`,
      { budget: { amount, currency: 'EUR', period: 'day' } },
      `value spec.budget.amount: ${AMOUNT}, got \`${amount}\`${meant ? `; did you mean \`${meant}\`?` : ''}`,
    ]),
    [
      'more money than can be counted',
      { budget: { amount: '9000000.01', currency: 'EUR', period: 'day' } },
      'value spec.budget.amount: expected at most 9000000, got `9000000.01`',
    ],
    [
      'a budget of no currency, period or zone that there is',
      { budget: { amount: '1', currency: 'eur', period: 'week', timeZone: 'Europe/Pari', warnAt: 0 } },
      'value spec.budget.currency: expected the three capitals of a currency, such as `EUR`, got `eur`; did you mean `EUR`?',
      'value spec.budget.period: expected one of `day` or `month`, got `week`',
      `value spec.budget.timeZone: ${ZONE}, got \`Europe/Pari\`; did you mean \`Europe/Paris\`?`,
      'value spec.budget.warnAt: expected at least 1, got `0`',
    ],
    [
      'a zone that knows no summer time, and a warning after the end',
      { budget: { amount: '1', currency: '€', period: 'day', timeZone: '+02:00', warnAt: 101 } },
      'value spec.budget.currency: expected the three capitals of a currency, such as `EUR`, got `€`',
      `value spec.budget.timeZone: ${ZONE}, got \`+02:00\``,
      'value spec.budget.warnAt: expected at most 100, got `101`',
    ],
  ];
  for (const [name, spec, ...expected] of cases) {
    test(name, () => {
      assert.deepEqual(problemLines(consumer(spec)).sort(), expected.sort());
      assert.ok(!JSON.stringify(readResource(consumer(spec)).problems).includes(KEY.slice(0, 8)), 'no key is shown');
    });
  }
});
