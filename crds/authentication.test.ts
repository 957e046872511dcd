import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { gateway, problemLines, specOf } from './problem-lines.fixture.ts';

const ISSUER = { issuer: 'https://id.example', jwksUrl: 'https://id.example/jwks.json' };
const JWKS = 'expected a URL such as `https://id.example.com/jwks.json`';

describe('authentication', () => {
  test('by tokens names their issuers', () => {
    const ca = { secretRef: { name: 'own-ca' } };
    const jwt = [
      ISSUER,
      { issuer: 'batch', jwksUrl: 'https://b.example/keys?p=1', audiences: ['a'], consumerClaim: 'org.team', ca },
    ];
    for (const mode of ['jwt', 'apiKeysOrJwt']) {
      assert.deepEqual(specOf('InferenceGateway', gateway({ authentication: { mode, jwt } })).authentication, {
        mode,
        jwt: [
          { ...ISSUER, audiences: [] },
          { ...jwt[1], ca: { secretRef: { name: 'own-ca', key: 'ca.crt' } } },
        ],
      });
    }
  });

  test('by keys needs nothing else', () => {
    assert.deepEqual(problemLines(gateway({ authentication: { mode: 'apiKeys' }, hideForbiddenModels: true })), []);
  });

  const cases: [name: string, spec: object, ...expected: string[]][] = [
    [
      'by tokens of nobody',
      { authentication: { mode: 'apiKeysOrJwt' } },
      'value spec.authentication.jwt: mode `apiKeysOrJwt` needs at least one issuer of tokens here',
    ],
    ...['none', 'apiKeys'].map((mode): [string, object, string] => [
      `by ${mode}, with issuers of tokens`,
      { authentication: { mode, jwt: [ISSUER] } },
      `value spec.authentication.jwt: mode \`${mode}\` takes no tokens: use \`jwt\` or \`apiKeysOrJwt\`, or leave \`jwt\` out`,
    ]),
    [
      'without a mode, with issuers of tokens',
      { authentication: { jwt: [ISSUER] } },
      'value spec.authentication.jwt: mode `none` takes no tokens: use `jwt` or `apiKeysOrJwt`, or leave `jwt` out',
    ],
    [
      'misspelt',
      { authentication: { mode: 'apikey' } },
      'value spec.authentication.mode: expected one of `none`, `apiKeys`, `jwt` or `apiKeysOrJwt`, got `apikey`; did you mean `apiKeys`?',
    ],
    [
      'by an issuer of no name or place',
      { authentication: { mode: 'jwt', jwt: [{}] } },
      'value spec.authentication.jwt[0].issuer: is missing: expected the issuer of tokens as their claim `iss` has it, such as `https://id.example.com`',
      `value spec.authentication.jwt[0].jwksUrl: is missing: ${JWKS}`,
    ],
    [
      'by one issuer twice',
      { authentication: { mode: 'jwt', jwt: [ISSUER, ISSUER] } },
      'value spec.authentication.jwt[1].issuer: is the issuer of jwt[0] already',
    ],
    [
      'by keys from elsewhere',
      {
        authentication: {
          mode: 'jwt',
          jwt: ['ftp://a/x', 'a.example/jwks', 'https://u:SECRET@a/x', 'https://', 'https://a/x#y'].map(
            (jwksUrl, index) => ({
              issuer: `i${index}`,
              jwksUrl,
            }),
          ),
        },
      },
      `value spec.authentication.jwt[0].jwksUrl: ${JWKS}, got one that begins with \`ftp://\``,
      `value spec.authentication.jwt[1].jwksUrl: ${JWKS}`,
      'value spec.authentication.jwt[2].jwksUrl: has a user or a password in it, which everybody could read: both belong elsewhere',
      `value spec.authentication.jwt[3].jwksUrl: ${JWKS}`,
      `value spec.authentication.jwt[4].jwksUrl: ${JWKS}`,
    ],
    [
      'by an authority where nobody shows a certificate',
      {
        authentication: {
          mode: 'jwt',
          jwt: [{ issuer: 'a', jwksUrl: 'http://a/j', ca: { secretRef: { name: 'a' } } }],
        },
      },
      'value spec.authentication.jwt[0].ca: no certificate is asked for by http: use https, or leave `ca` out',
    ],
    [
      'by a claim that is no path',
      { authentication: { mode: 'jwt', jwt: [{ ...ISSUER, consumerClaim: 'a b' }] } },
      'value spec.authentication.jwt[0].consumerClaim: expected the path of a claim, such as `sub` or `org.team`, got `a b`',
    ],
    [
      'with limits of callers whom it lets nobody be',
      { authentication: { mode: 'apiKeys' }, anonymous: { limits: [] } },
      'value spec.anonymous: nobody is anonymous under authentication `apiKeys`: leave it out',
    ],
  ];
  for (const [name, spec, ...expected] of cases) {
    test(`is refused ${name}`, () => assert.deepEqual(problemLines(gateway(spec)), expected));
  }
});
