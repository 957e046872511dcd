import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { ConsumerSpec } from '../../crds/consumer.ts';
import type { InferenceGatewaySpec } from '../../crds/inference-gateway.ts';
import { readResource } from '../../crds/read-resource.ts';
import type { Declared } from './cluster-state.ts';
import { secretReferences } from './secret-references.ts';

function declared<Spec>(kind: string, namespace: string, spec: object): Declared<Spec> {
  const metadata = { namespace, name: 'a' };
  const { resource, problems } = readResource({ apiVersion: 'fairlead.dev/v1alpha1', kind, metadata, spec });
  assert.equal(problems, undefined);
  const origin = { kind: 'object', uid: 'test' } as const;
  return { ...metadata, generation: 1, createdAtMs: 0, origin, spec: resource?.spec as Spec };
}

/** Which keys of which Secrets these refer to. */
function references(gateways: readonly object[], consumers: Readonly<Record<string, object>> = {}) {
  const found = secretReferences({
    gateways: gateways.map(spec => declared<InferenceGatewaySpec>('InferenceGateway', 'infra', spec)),
    consumers: new Map(
      Object.entries(consumers).map(([namespace, spec]) => [
        namespace,
        declared<ConsumerSpec>('Consumer', namespace, spec),
      ]),
    ),
  });
  return Object.fromEntries([...found].map(([secret, keys]) => [secret, [...keys].sort()]));
}

const tls = (name: string) => ({ name: 'https', port: 8443, tls: { secretRef: { name } } });
const DIGEST = 'a1'.repeat(32);

describe('the Secrets that are referred to', () => {
  test('are none where nothing refers to any', () => {
    assert.deepEqual(references([{}], { ml: { apiKeys: [{ sha256: DIGEST }] } }), {});
  });

  test('are those of listeners, issuers and the store of a gateway, in its namespace', () => {
    const ca = { secretRef: { name: 'own-ca' } };
    const gateway = {
      listeners: [tls('certificate')],
      authentication: {
        mode: 'jwt',
        jwt: [
          { issuer: 'a', jwksUrl: 'https://a.example', ca },
          { issuer: 'b', jwksUrl: 'https://b.example' },
          { issuer: 'c', jwksUrl: 'https://c.example', ca: { secretRef: { name: 'own-ca', key: 'c.crt' } } },
        ],
      },
      limits: { store: 'valkey', valkey: { url: 'valkeys://v', secretRef: { name: 'store' }, ca } },
    };
    assert.deepEqual(references([gateway]), {
      'infra/certificate': ['tls.crt', 'tls.key'],
      'infra/own-ca': ['c.crt', 'ca.crt'],
      'infra/store': ['password'],
    });
  });

  test('are those that hold the keys of Consumers, in the namespace of each', () => {
    const apiKeys = [
      { secretRef: { name: 'keys' } },
      { secretRef: { name: 'keys', key: 'next' } },
      { sha256: DIGEST },
      { secretRef: { name: 'ci' } },
    ];
    assert.deepEqual(references([], { ml: { apiKeys }, other: { apiKeys: [{ secretRef: { name: 'keys' } }] } }), {
      'ml/keys': ['api-key', 'next'],
      'ml/ci': ['api-key'],
      'other/keys': ['api-key'],
    });
  });

  test('are one where several refer to it, with the keys of all', () => {
    const apiKeys = [{ secretRef: { name: 'all' } }];
    assert.deepEqual(references([{ listeners: [tls('all')] }], { infra: { apiKeys } }), {
      'infra/all': ['api-key', 'tls.crt', 'tls.key'],
    });
  });
});
