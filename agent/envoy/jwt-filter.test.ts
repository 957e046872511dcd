import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import type {
  JwtAuthenticationJson,
  JwtProviderJson,
} from '../../proto/gen/envoy/extensions/filters/http/jwt_authn/v3/config_pb.js';
import { AuthenticationMode, AuthenticationSchema } from '../../proto/gen/fairlead/v1/table_pb.js';
import { jwtFilter, tokenIssuers } from './jwt-filter.ts';

function issuers(mode: AuthenticationMode, ...names: string[]) {
  const jwtIssuers = names.map(name => ({
    name,
    issuer: `https://${name}`,
    jwksUrl: `https://${name}/keys`,
    audiences: ['fairlead'],
  }));
  return tokenIssuers(create(AuthenticationSchema, { mode, jwtIssuers }));
}

const { AUTHENTICATION_JWT, AUTHENTICATION_API_KEYS_OR_JWT } = AuthenticationMode;

test('tokens are asked for in two modes, and in no other', () => {
  const modes = Object.values(AuthenticationMode).filter(mode => typeof mode === 'number');
  assert.deepEqual(
    [...modes, 99 as AuthenticationMode].filter(mode => issuers(mode, 'a').length > 0),
    [AUTHENTICATION_JWT, AUTHENTICATION_API_KEYS_OR_JWT],
  );
  assert.deepEqual(tokenIssuers(undefined), []);
});

test('a token may be any issuer’s, must expire, is looked for in one header and goes no further', () => {
  const config = jwtFilter(issuers(AUTHENTICATION_JWT, 'a', 'b')).typedConfig as JwtAuthenticationJson;
  const requirements = [{ providerName: 'a' }, { providerName: 'b' }];
  assert.deepEqual(config.rules?.[0]?.requires, { requiresAny: { requirements } });
  for (const [name, provider] of Object.entries<JwtProviderJson>(config.providers ?? {})) {
    assert.equal(provider.payloadInMetadata, name);
    assert.equal(provider.requireExpiration, true);
    assert.equal(provider.forward, false);
    assert.deepEqual(provider.fromHeaders, [{ name: 'authorization', valuePrefix: 'Bearer ' }]);
    assert.deepEqual(provider.audiences, ['fairlead']);
    assert.equal(provider.remoteJwks?.httpUri?.cluster, `jwks ${name}`);
  }
});

test('one issuer is required by name: an "or" of one is refused by Envoy', () => {
  const config = jwtFilter(issuers(AUTHENTICATION_API_KEYS_OR_JWT, 'a')).typedConfig as JwtAuthenticationJson;
  assert.deepEqual(config.rules?.[0]?.requires, { providerName: 'a' });
});
