import assert from 'node:assert/strict';
import { after, suite, test } from 'node:test';
import { Authority } from '../../test/e2e/harness/certificates.ts';
import type { SecretContent } from '../source/cluster-state.ts';
import { plan } from './plan.ts';
import { clusterState, inferenceGateway } from './test-state.fixture.ts';

const inCluster = { standalone: false };

function content(certificate: string, key: string): SecretContent {
  return { data: { 'tls.crt': new Uint8Array(Buffer.from(certificate)), 'tls.key': new Uint8Array(Buffer.from(key)) } };
}

const gateway = inferenceGateway('ml/gateway', {
  listeners: [
    { name: 'http', port: 8888 },
    { name: 'https', port: 8443, tls: { secretRef: { name: 'gateway-tls' }, minVersion: '1.3' } },
  ],
});

function stateWith(secret: SecretContent | undefined) {
  const secrets = new Map(secret === undefined ? [] : [['ml/gateway-tls', secret]]);
  return clusterState([], [], { gateways: [gateway], secrets });
}

suite('the certificate of a listener', () => {
  const authority = new Authority();
  const good = authority.issue();
  const other = authority.issue();
  after(() => authority.remove());

  const resolved = (secret: SecretContent | undefined) =>
    plan(stateWith(secret), inCluster)
      .gatewayStatuses.get('ml/gateway')
      ?.conditions.find(({ type }) => type === 'ResolvedRefs');

  test('goes into the table by its name, and the listener refers to it', () => {
    const { gateway: message, secrets, certificates } = plan(stateWith(content(good.certificate, good.key)), inCluster);
    assert.deepEqual(
      message.listeners.map(({ tls }) => tls && [tls.secret, tls.minVersion]),
      [undefined, ['ml/gateway-tls', 2]],
    );
    assert.equal(Buffer.from(secrets.get('ml/gateway-tls')?.data['tls.key'] ?? []).toString(), good.key);
    assert.equal(certificates.length, 1);
    assert.equal(resolved(content(good.certificate, good.key))?.status, 'True');
  });

  const chain = () => good.certificate + authority.certificate;
  const broken = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n';
  const cases: [what: string, secret: () => SecretContent | undefined, problem: string | undefined][] = [
    ['a chain', () => content(chain(), good.key), undefined],
    ['a secret that is not read yet', () => undefined, 'not read yet'],
    ['a secret that is missing', () => ({ failure: 'not found' }), 'not found'],
    ['a secret without certificate', () => ({ data: {} }), 'no key "tls.crt"'],
    ['a secret without key', () => ({ data: { 'tls.crt': new Uint8Array() } }), 'no key "tls.key"'],
    ['no PEM', () => content('x', good.key), '"tls.crt" holds no certificate in PEM'],
    ['a broken link', () => content(good.certificate + broken, good.key), 'certificate 2 in "tls.crt" cannot be read'],
    ['no key', () => content(good.certificate, good.certificate), '"tls.key" holds no private key in PEM'],
    [
      'the key of another',
      () => content(good.certificate, other.key),
      'the certificate in "tls.crt" does not match the key in "tls.key"',
    ],
    [
      'a chain that begins at its end',
      () => content(authority.certificate + good.certificate, good.key),
      'the certificate of "tls.key" must come first in "tls.crt"',
    ],
    [
      'a key behind a passphrase',
      () => content(good.certificate, '-----BEGIN ENCRYPTED PRIVATE KEY-----'),
      '"tls.key" is encrypted: store it without a passphrase',
    ],
    ...(
      [
        ['RSA of 1024 bits', ['-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:1024']],
        ['Ed25519', ['-algorithm', 'ED25519']],
        ['an odd curve', ['-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:secp256k1']],
      ] as const
    ).map(([what, algorithm]): [string, () => SecretContent, string] => [
      what,
      () => {
        const { certificate, key } = authority.issue({ algorithm });
        return content(certificate, key);
      },
      '"tls.key" must be RSA of 2048 bits or more, or ECDSA P-256, P-384 or P-521',
    ]),
  ];
  for (const [what, secret, problem] of cases) {
    test(`${what}: ${problem ?? 'is taken'}`, () => {
      const planned = plan(stateWith(secret()), inCluster);
      assert.deepEqual(
        planned.certificates.map(one => one.problem),
        [problem],
      );
      assert.equal(planned.secrets.size, problem === undefined ? 1 : 0);
      const condition = planned.gatewayStatuses
        .get('ml/gateway')
        ?.conditions.find(({ type }) => type === 'ResolvedRefs');
      if (problem === undefined) assert.equal(condition?.status, 'True');
      else
        assert.ok(
          condition?.message.startsWith(`listener https: secret ml/gateway-tls: ${problem}`),
          condition?.message,
        );
    });
  }

  test('a rotation changes the secret and nothing else', () => {
    const before = plan(stateWith(content(good.certificate, good.key)), inCluster);
    const now = plan(stateWith(content(other.certificate, other.key)), inCluster, before);
    assert.equal(now.gateway, before.gateway);
    assert.notEqual(now.secrets.get('ml/gateway-tls'), before.secrets.get('ml/gateway-tls'));
  });

  test('a plan of the same secrets uses what was read before', () => {
    const state = stateWith(content(good.certificate, good.key));
    const before = plan(state, inCluster);
    const now = plan({ ...state, secrets: new Map(state.secrets) }, inCluster, before);
    assert.equal(now.secrets.get('ml/gateway-tls'), before.secrets.get('ml/gateway-tls'));
    assert.equal(now.gatewayStatuses, before.gatewayStatuses);
  });
});
