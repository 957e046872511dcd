import assert from 'node:assert/strict';
import { after, suite, test } from 'node:test';
import { AuthenticationMode, LimitUnit, OnStoreFailure } from '../../proto/gen/fairlead/v1/table_pb.js';
import { Authority } from '../../test/e2e/harness/certificates.ts';
import type { SecretContent } from '../source/cluster-state.ts';
import { plan } from './plan.ts';
import { byKey, clusterState, consumer, inferenceGateway } from './test-state.fixture.ts';

const inCluster = { standalone: false };

function holding(values: Record<string, string>): SecretContent {
  return { data: Object.fromEntries(Object.entries(values).map(([key, value]) => [key, Buffer.from(value)])) };
}

const gateway = inferenceGateway('ml/g', {
  authentication: {
    mode: 'apiKeysOrJwt',
    jwt: [
      { issuer: 'https://a', jwksUrl: 'https://a/keys', audiences: ['fairlead'], consumerClaim: 'sub' },
      { issuer: 'https://b', jwksUrl: 'https://b/keys', ca: { secretRef: { name: 'authorities' } } },
    ],
  },
  hideForbiddenModels: true,
  limits: {
    store: 'valkey',
    timeout: '30ms',
    onStoreFailure: 'deny',
    valkey: {
      url: 'rediss://v:6379/1',
      username: 'gateway',
      secretRef: { name: 'valkey' },
      ca: { secretRef: { name: 'valkey', key: 'ca' } },
    },
    rules: [{ requests: 5, per: 'second' }],
  },
});

function planOf(secrets: Record<string, SecretContent>) {
  const consumers = byKey([consumer('ml/a')]);
  return plan(
    clusterState([], [], { gateways: [gateway], consumers, secrets: new Map(Object.entries(secrets)) }),
    inCluster,
  );
}

suite('what a gateway refers to', () => {
  const authority = new Authority();
  after(() => authority.remove());
  const resolved = (secrets: Record<string, SecretContent>) => {
    const found = planOf(secrets)
      .gatewayStatuses.get('ml/g')
      ?.conditions.find(({ type }) => type === 'ResolvedRefs');
    return `${found?.status} ${found?.reason}: ${found?.message}`;
  };
  const good = () => ({
    'ml/authorities': holding({ 'ca.crt': authority.certificate }),
    'ml/valkey': holding({ password: 'secret\n', ca: authority.certificate }),
  });

  test('is told to agents by the names of Secrets, whose used values are in the table', () => {
    const { gateway: message, secrets } = planOf(good());
    assert.equal(message.authentication?.mode, AuthenticationMode.AUTHENTICATION_API_KEYS_OR_JWT);
    assert.deepEqual(
      message.authentication?.jwtIssuers.map(({ issuer, consumerClaim, audiences, ca }) => [
        ...[issuer, consumerClaim, audiences.join()],
        ca && [ca.secret, ca.key],
      ]),
      [
        ['https://a', 'sub', 'fairlead', undefined],
        ['https://b', '', '', ['ml/authorities', 'ca.crt']],
      ],
    );
    assert.equal(message.hideForbiddenModels, true);
    assert.deepEqual([message.limits[0]?.unit, message.limits[0]?.amount], [LimitUnit.LIMIT_REQUESTS, 5n]);
    const { valkey, onFailure, timeoutMs } = message.limitStore ?? assert.fail();
    assert.deepEqual([onFailure, timeoutMs], [OnStoreFailure.DENY, 30]);
    assert.deepEqual(
      [valkey?.url, valkey?.username, valkey?.password?.secret, valkey?.password?.key, valkey?.ca?.key],
      ['valkeys://v:6379/1', 'gateway', 'ml/valkey', 'password', 'ca'],
    );
    assert.deepEqual(Object.keys(secrets.get('ml/valkey')?.data ?? {}).toSorted(), ['ca', 'password']);
    assert.equal(Buffer.from(secrets.get('ml/valkey')?.data.password ?? []).toString(), 'secret');
    assert.equal(resolved(good()), 'True ResolvedRefs: ');
  });

  test('names an issuer by all that its tokens are verified by, and by nothing else', () => {
    const issuer = { issuer: 'https://a', jwksUrl: 'https://a/keys', audiences: ['a', 'b'] };
    const nameOf = (changed: Partial<typeof issuer & { consumerClaim: string; ca: object }>) => {
      const changedGateway = inferenceGateway('ml/g', {
        authentication: { mode: 'jwt', jwt: [{ ...issuer, ...changed }] },
      });
      const { gateway } = plan(clusterState([], [], { gateways: [changedGateway] }), inCluster);
      return gateway.authentication?.jwtIssuers[0]?.name ?? assert.fail();
    };
    const name = nameOf({});
    assert.match(name, /^jwt-[0-9a-f]{32}$/);
    for (const same of [{ audiences: ['b', 'a'] }, { consumerClaim: 'org' }]) assert.equal(nameOf(same), name);
    const others = [
      { issuer: 'https://b' },
      { jwksUrl: 'https://b/keys' },
      { audiences: ['a'] },
      { audiences: ['a,b'] },
      { ca: { secretRef: { name: 'authorities' } } },
      { ca: { secretRef: { name: 'authorities', key: 'other' } } },
    ].map(nameOf);
    assert.equal(new Set([name, ...others]).size, 7);
  });

  test('is told of where it is missing, and what is there is used', () => {
    const secrets = { ...good(), 'ml/valkey': holding({ ca: 'none' }) };
    assert.deepEqual([...planOf(secrets).secrets.keys()], ['ml/authorities']);
    assert.equal(
      resolved(secrets),
      'False InvalidSecretRef: password of the limit store: secret ml/valkey: no key "password"; ' +
        'authorities of the limit store: secret ml/valkey: "ca" holds no certificate in PEM; ' +
        'what needs it fails until the Secret holds it',
    );
  });

  test('is memory and nobody asked for a name where nothing is said', () => {
    const { gateway: message } = plan(clusterState(), inCluster);
    assert.equal(message.authentication?.mode, AuthenticationMode.AUTHENTICATION_NONE);
    assert.deepEqual(
      [message.limitStore?.valkey, message.limitStore?.onFailure, message.limitStore?.timeoutMs],
      [undefined, OnStoreFailure.LOCAL, 20],
    );
  });
});
