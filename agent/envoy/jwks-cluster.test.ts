import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import type { UpstreamTlsContextJson } from '../../proto/gen/envoy/extensions/transport_sockets/tls/v3/tls_pb.js';
import { JwtIssuerSchema, SecretSchema } from '../../proto/gen/fairlead/v1/table_pb.js';
import { jwksCluster } from './jwks-cluster.ts';

const SECRETS = new Map([['ml/ca', create(SecretSchema, { data: { 'ca.crt': new Uint8Array(Buffer.from('PEM')) } })]]);

function clusterOf(jwksUrl: string, ca?: { secret: string; key: string }) {
  return jwksCluster(create(JwtIssuerSchema, { name: 'jwt-0', jwksUrl, ...(ca && { ca }) }), SECRETS);
}

function addressOf(jwksUrl: string) {
  const cluster = clusterOf(jwksUrl);
  const address = cluster?.loadAssignment?.endpoints?.[0]?.lbEndpoints?.[0]?.endpoint?.address?.socketAddress;
  return [cluster?.type, address?.address, address?.portValue];
}

function tlsOf(cluster: ReturnType<typeof jwksCluster>) {
  const context = cluster?.transportSocket?.typedConfig as UpstreamTlsContextJson | undefined;
  return context && { sni: context.sni, ...context.commonTlsContext?.validationContext };
}

test('names are resolved, addresses are not, and the port is the scheme’s where the URL has none', () => {
  assert.deepEqual(addressOf('https://IDP.example/keys'), ['LOGICAL_DNS', 'idp.example', 443]);
  assert.deepEqual(addressOf('http://idp.example/keys'), ['LOGICAL_DNS', 'idp.example', 80]);
  assert.deepEqual(addressOf('https://idp.example:8443/keys'), ['LOGICAL_DNS', 'idp.example', 8443]);
  assert.deepEqual(addressOf('http://10.0.0.1:8080/keys'), ['STATIC', '10.0.0.1', 8080]);
  assert.deepEqual(addressOf('http://[fd00::7]/keys'), ['STATIC', 'fd00::7', 80]);
});

test('a name that cannot be resolved holds up nothing', () => {
  assert.equal(clusterOf('http://idp.example')?.waitForWarmOnInit, false);
});

test('a server with TLS must be who its URL says, by the authority of the issuer or the system’s', () => {
  assert.equal(tlsOf(clusterOf('http://idp.example')), undefined);
  assert.deepEqual(tlsOf(clusterOf('https://idp.example')), {
    sni: 'idp.example',
    trustedCa: { filename: '/etc/ssl/certs/ca-certificates.crt' },
    matchTypedSubjectAltNames: [{ sanType: 'DNS', matcher: { exact: 'idp.example' } }],
  });
  assert.deepEqual(tlsOf(clusterOf('https://[fd00::7]', { secret: 'ml/ca', key: 'ca.crt' })), {
    sni: undefined,
    trustedCa: { inlineBytes: Buffer.from('PEM').toString('base64') },
    matchTypedSubjectAltNames: [{ sanType: 'IP_ADDRESS', matcher: { exact: 'fd00::7' } }],
  });
});

test('without its authority there is no cluster, rather than one that trusts others', () => {
  for (const ca of [
    { secret: 'ml/none', key: 'ca.crt' },
    { secret: 'ml/ca', key: 'other' },
  ]) {
    assert.equal(clusterOf('https://idp.example', ca), undefined);
  }
});
