import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { HeaderMutationJson } from '../../proto/gen/envoy/config/common/mutation_rules/v3/mutation_rules_pb.js';
import type { HeaderMutationJson as FilterJson } from '../../proto/gen/envoy/extensions/filters/http/header_mutation/v3/header_mutation_pb.js';
import { AuthenticationMode } from '../../proto/gen/fairlead/v1/table_pb.js';
import { stripAtPod, stripFromClient, stripSteering } from './header-hygiene.ts';

const { AUTHENTICATION_NONE: NONE, AUTHENTICATION_API_KEYS } = AuthenticationMode;

/** What Envoy does with a list of mutations: each in turn; an empty value is not added. */
function mutate(
  filter: ReturnType<typeof stripFromClient>,
  headers: Record<string, string>,
  of: 'requestMutations' | 'responseMutations' = 'requestMutations',
): Record<string, string> {
  const result = { ...headers };
  const config = filter.typedConfig as FilterJson;
  for (const mutation of config.mutations?.[of] ?? []) step(mutation, result);
  return result;
}

function step({ remove, removeOnMatch, append }: HeaderMutationJson, headers: Record<string, string>): void {
  const prefix = removeOnMatch?.keyMatcher?.prefix;
  for (const name of Object.keys(headers)) {
    if (name === remove || (prefix && name.startsWith(prefix))) delete headers[name];
  }
  const from = append?.header?.value?.match(/^%REQ\((.*)\)%$/)?.[1];
  const value = from === undefined ? append?.header?.value : headers[from];
  if (append?.header?.key && value) headers[append.header.key] = value;
}

test('a client says what it may and nothing that steers', () => {
  const sent = {
    authorization: 'Bearer key',
    'x-request-id': 'r',
    'routing-strategy': 'random',
    'x-fairlead-explain': '1',
    'x-fairlead-tpot-ms': '20',
    'x-fairlead-cluster': 'evil',
    'x-fairlead-route': 'evil',
    'x-fairlead-explain-more': 'evil',
    'x-envoy-max-retries': '9',
    'x-gateway-destination-endpoint': '1.2.3.4:1',
    'target-pod': 'evil',
    'fl-explain': 'evil',
  };
  assert.deepEqual(mutate(stripFromClient(NONE), sent), {
    authorization: 'Bearer key',
    'x-request-id': 'r',
    'routing-strategy': 'random',
    'x-fairlead-explain': '1',
    'x-fairlead-tpot-ms': '20',
  });
});

test('a listener that asks for keys says so, whatever the client says; no pod hears it', () => {
  const name = 'x-fairlead-authentication';
  assert.deepEqual(mutate(stripFromClient(AUTHENTICATION_API_KEYS), { [name]: '9' }), { [name]: '2' });
  assert.deepEqual(mutate(stripFromClient(NONE), { [name]: '2' }), {});
  assert.deepEqual(mutate(stripAtPod(), { [name]: '2' }), {});
});

test('of the own headers only the three pass, whatever else is sent', () => {
  const allowed = ['x-fairlead-explain', 'x-fairlead-ttft-ms', 'x-fairlead-tpot-ms'];
  const name = fc.oneof(
    fc.constantFrom(...allowed, 'fl-explain', 'fl-ttft-ms', 'user', 'x-model'),
    fc.stringMatching(/^(x-fairlead-|x-envoy-|x-gateway-destination-|target-pod)[a-z-]{0,12}$/),
  );
  fc.assert(
    fc.property(fc.dictionary(name, fc.stringMatching(/^[a-z0-9]{1,8}$/)), sent => {
      const got = mutate(stripFromClient(NONE), sent);
      for (const [key, value] of Object.entries(got)) {
        assert.equal(value, sent[key]);
        assert.ok(['user', 'x-model', ...allowed].includes(key), key);
      }
      for (const key of ['user', 'x-model', ...allowed]) assert.equal(got[key], sent[key]);
    }),
  );
});

test('a pod sees neither the gateway nor its callers’ credentials', () => {
  const inside = {
    'x-fairlead-cluster': 'ml/a',
    'x-fairlead-route': 'r1',
    'x-fairlead-explain': '1',
    'accept-encoding': 'gzip',
    authorization: 'Bearer key',
    'x-api-key': 'key',
    cookie: 'session=1',
    'content-type': 'application/json',
    'x-request-id': 'r',
  };
  assert.deepEqual(mutate(stripAtPod(), inside), { 'content-type': 'application/json', 'x-request-id': 'r' });
});

test('a pod does not speak for the gateway', () => {
  const answered = {
    'content-type': 'application/json',
    'x-fairlead-endpoint': 'forged',
    'x-fairlead-anything': 'forged',
    'x-envoy-immediate-health-check-fail': '1',
    'x-ratelimit-remaining-tokens': '7',
    'x-request-id': 'r',
  };
  assert.deepEqual(mutate(stripAtPod(), answered, 'responseMutations'), {
    'content-type': 'application/json',
    'x-request-id': 'r',
  });
});

test('what steers the gateway ends there, whatever headers may name the model', () => {
  const sent = { 'x-model': 'a', 'x-other': 'b', 'routing-strategy': 'random', user: 'ann' };
  assert.deepEqual(mutate(stripSteering(['x-model']), sent), { 'x-other': 'b', user: 'ann' });
});
