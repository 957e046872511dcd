import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { gateway, problemLines, specOf } from './problem-lines.fixture.ts';

const URL_FORM = 'expected a URL such as `valkeys://valkey.example.com:6379/0`';

describe('where limits are counted', () => {
  test('is a Valkey by its address, in either spelling', () => {
    for (const url of ['valkey://v:6379', 'valkeys://v:6379/15', 'redis://10.0.0.1', 'rediss://[fd00::1]:6380/']) {
      assert.deepEqual(specOf('InferenceGateway', gateway({ limits: { store: 'valkey', valkey: { url } } })).limits, {
        store: 'valkey',
        timeout: '20ms',
        onStoreFailure: 'local',
        valkey: { url, cluster: false },
        rules: [],
      });
    }
  });

  test('knows its passwords by the names of Secrets', () => {
    const valkey = {
      url: 'valkeys://v',
      username: 'fairlead',
      secretRef: { name: 'v' },
      ca: { secretRef: { name: 'own' } },
    };
    assert.deepEqual(specOf('InferenceGateway', gateway({ limits: { store: 'valkey', valkey } })).limits.valkey, {
      ...valkey,
      secretRef: { name: 'v', key: 'password' },
      ca: { secretRef: { name: 'own', key: 'ca.crt' } },
      cluster: false,
    });
  });

  const cases: [name: string, limits: object, ...expected: string[]][] = [
    [
      'a Valkey of no address',
      { store: 'valkey' },
      'value spec.limits.valkey: is missing: the store `valkey` needs its `url`',
    ],
    [
      'a Valkey without a URL',
      { store: 'valkey', valkey: {} },
      `value spec.limits.valkey.url: is missing: ${URL_FORM}`,
    ],
    ...[{ store: 'memory' }, {}].map((store): [string, object, string] => [
      `a Valkey that nothing is counted in (${JSON.stringify(store)})`,
      { ...store, valkey: { url: 'valkey://v' } },
      'value spec.limits.valkey: is not used by the store `memory`: say `store: valkey`, or leave it out',
    ]),
    ...['valkey://:SECRET@v:6379', 'rediss://user:SECRET@v'].map((url): [string, object, string] => [
      `a password in ${url}`,
      { store: 'valkey', valkey: { url } },
      'value spec.limits.valkey.url: has a user or a password in it, which everybody could read: both belong elsewhere',
    ]),
    ...['v:6379', 'valkey://', 'valkey://v/x', 'valkey://v/0?password=SECRET', 'VALKEY://v'].map(
      (url): [string, object, string] => [
        `the address ${url}`,
        { store: 'valkey', valkey: { url } },
        `value spec.limits.valkey.url: ${URL_FORM}`,
      ],
    ),
    [
      'an address of something else',
      { store: 'valkey', valkey: { url: 'https://v' } },
      `value spec.limits.valkey.url: ${URL_FORM}, got one that begins with \`https://\``,
    ],
    [
      'a password as it is',
      { store: 'valkey', valkey: { url: 'valkey://v', password: 'SECRET' } },
      'key spec.limits.valkey.password: unknown field `password`',
    ],
    [
      'a name without a password, and an authority without TLS',
      { store: 'valkey', valkey: { url: 'redis://v', username: 'a', ca: { secretRef: { name: 'a' } } } },
      'value spec.limits.valkey.ca: is of no use without TLS: begin the URL with `valkeys://`',
      'value spec.limits.valkey.username: needs a password: give its `secretRef`',
    ],
    [
      'what is none of the ways',
      { store: 'redis', onStoreFailure: 'open', timeout: '2001ms' },
      'value spec.limits.store: expected one of `memory` or `valkey`, got `redis`',
      'value spec.limits.timeout: expected a duration of 1ms to 2s, got `2001ms`',
      'value spec.limits.onStoreFailure: expected one of `local`, `deny` or `allow`, got `open`',
    ],
    [
      'a rule in its place',
      { requests: 100, per: 'minute' },
      'key spec.limits.requests: unknown field `requests`',
      'key spec.limits.per: unknown field `per`',
    ],
  ];
  for (const [name, limits, ...expected] of cases) {
    test(`is refused for ${name}`, () => assert.deepEqual(problemLines(gateway({ limits })), expected));
  }
});
