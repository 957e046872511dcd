import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import type { ExternalProcessorJson } from '../../proto/gen/envoy/extensions/filters/http/ext_proc/v3/ext_proc_pb.js';
import type { HttpConnectionManagerJson } from '../../proto/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { AuthenticationMode, AuthenticationSchema } from '../../proto/gen/fairlead/v1/table_pb.js';
import { httpFilters } from './http-filters.ts';
import { gatewayListener } from './listener.ts';
import { EXT_PROC_FILTER } from './names.ts';
import { sampleTable } from './sample-table.fixture.ts';

const { gateway } = sampleTable({}, { modelHeaders: ['X-Model', 'accept'], clientUploadMs: 90_000 });
const [listener = assert.fail()] = gateway.listeners;
const json = gatewayListener(listener, gateway, { accessLogPath: '/var/log/access.json' });
const manager = json.filterChains?.[0]?.filters?.[0]?.typedConfig as HttpConnectionManagerJson;

test('a request is stripped, answered where it is a preflight, shown to extproc, checked for its mark, stripped again, sent: in this order', () => {
  assert.deepEqual(
    manager.httpFilters?.map(({ name }) => name),
    [
      'strip',
      'envoy.filters.http.cors',
      'readiness',
      'envoy.filters.http.ext_proc',
      'admitted',
      'steering_strip',
      'envoy.filters.http.router',
    ],
  );
});

test('a token is checked before extproc, which is shown its claims, only where tokens are asked for', () => {
  const authentication = create(AuthenticationSchema, {
    mode: AuthenticationMode.AUTHENTICATION_API_KEYS_OR_JWT,
    jwtIssuers: [{ name: 'jwt-0', jwksUrl: 'https://idp/keys' }],
  });
  const filters = httpFilters(sampleTable({}, { authentication }).gateway);
  const names = filters.map(({ name }) => name);
  assert.equal(names.indexOf('envoy.filters.http.jwt_authn') + 1, names.indexOf(EXT_PROC_FILTER));
  assert.ok(names.indexOf('strip') < names.indexOf('envoy.filters.http.jwt_authn'));
  const forwarded = (of: typeof filters) => {
    const config = of.find(({ name }) => name === EXT_PROC_FILTER)?.typedConfig as ExternalProcessorJson | undefined;
    return config?.metadataOptions?.forwardingNamespaces;
  };
  assert.deepEqual(forwarded(filters), { untyped: ['envoy.filters.http.jwt_authn'] });
  assert.equal(forwarded(httpFilters(gateway)), undefined);
});

test('extproc sees the headers that may name a model, in lower case, each pattern once', () => {
  const config = manager.httpFilters?.find(({ name }) => name === EXT_PROC_FILTER)
    ?.typedConfig as ExternalProcessorJson;
  const shown = config.forwardRules?.allowedHeaders?.patterns?.map(({ exact, prefix }) => exact ?? `${prefix}*`) ?? [];
  for (const name of [':path', ':method', 'content-length', 'x-model', 'x-fairlead-*']) assert.ok(shown.includes(name));
  assert.equal(new Set(shown).size, shown.length);
  assert.ok(!shown.includes('cookie'));
});

test('the listener is where the gateway says and logs where the node says', () => {
  assert.deepEqual(json.address, { socketAddress: { address: '127.0.0.1', portValue: 8888 } });
  assert.match(JSON.stringify(manager.accessLog), /"\/var\/log\/access\.json"/);
});

test('clients may take as long as the gateway says', () => {
  assert.equal(manager.requestHeadersTimeout, '10.000s');
  assert.equal(manager.requestTimeout, '90.000s');
});
