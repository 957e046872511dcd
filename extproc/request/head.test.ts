import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { isRefusal } from '../../errors/refusal.ts';
import { GatewaySchema } from '../../proto/gen/fairlead/v1/table_pb.js';
import { readHead } from './head.ts';
import { parseTarget } from './target.ts';

const GATEWAY = create(GatewaySchema, { maxBodyBytes: 1_000, modelHeaders: ['x-model', 'model'] });
const KEYS = new Map([
  ['llama', 'ml/llama'],
  ['meta/llama', 'ml/llama'],
  ['bge', 'ml/bge'],
]);

/** Headers by name, one that was sent several times with several values. */
type Headers = Record<string, string | string[]>;

function read(path: string, headers: Headers) {
  const target = parseTarget('POST', path, undefined);
  assert.ok(!isRefusal(target) && target.kind === 'inference');
  const lookup = { get: (name: string) => all(name)?.join(','), all: (name: string) => all(name) ?? [] };
  return readHead(target, lookup, GATEWAY, name => KEYS.get(name));

  function all(name: string) {
    const value = headers[name];
    return typeof value === 'string' ? [value] : value;
  }
}

const CHAT = '/v1/chat/completions';

const MODELS: [path: string, headers: Headers, expected: string | undefined][] = [
  [CHAT, {}, undefined],
  [CHAT, { 'x-model': 'llama' }, 'llama'],
  [CHAT, { model: 'llama' }, 'llama'],
  [CHAT, { 'x-model': 'llama', model: 'meta/llama' }, 'llama'],
  [CHAT, { model: 'llama', 'x-model': 'meta/llama' }, 'meta/llama'],
  [CHAT, { 'x-model': '', model: 'llama' }, 'llama'],
  ['/v1/chat/meta%2Fllama', { 'x-model': 'llama' }, 'meta/llama'],
  ['/v1/chat/llama', {}, 'llama'],
  ['/v1/chat/bge', { 'x-model': 'llama' }, 'model_mismatch'],
  [CHAT, { 'x-model': 'llama', model: 'bge' }, 'model_mismatch'],
  [CHAT, { 'x-model': 'llama', model: 'unknown' }, 'model_mismatch'],
  [CHAT, { 'x-model': 'x'.repeat(257) }, 'invalid_parameter'],
  [CHAT, { 'x-model': 'llama', model: 'a\u0085b' }, 'invalid_parameter'],
  [CHAT, { 'other-header': 'bge' }, undefined],
  [CHAT, { 'x-model': ['llama', 'llama'] }, 'llama'],
  [CHAT, { 'x-model': ['llama', 'bge'] }, 'model_mismatch'],
];

for (const [path, headers, expected] of MODELS) {
  test(`${path} with ${JSON.stringify(headers).slice(0, 60)} names ${expected}`, () => {
    const head = read(path, headers);
    assert.equal(isRefusal(head) ? head.code : head.model, expected);
  });
}

test('what needs no body is refused without one', () => {
  const code = (path: string, headers: Headers) => {
    const head = read(path, headers);
    return isRefusal(head) ? head.code : undefined;
  };
  assert.equal(code(CHAT, { 'content-type': 'multipart/form-data; boundary=x' }), 'unsupported_media_type');
  assert.equal(code(CHAT, { 'content-encoding': 'gzip' }), 'unsupported_media_type');
  assert.equal(code('/v1/audio/transcriptions', { 'content-type': 'application/json' }), 'unsupported_media_type');
  assert.equal(code('/v1/audio/transcriptions', { 'content-type': 'multipart/form-data' }), 'invalid_parameter');
  assert.equal(code(CHAT, { 'content-length': '1000' }), undefined);
  assert.equal(code(CHAT, { 'content-length': '1001' }), 'request_too_large');
});

test('the rest of the head is handed on', () => {
  const head = read(`${CHAT}/llama?a=1`, {
    'content-type': 'text/plain',
    'routing-strategy': 'shuffle',
    'x-fairlead-explain': '1',
  });
  assert.ok(!isRefusal(head));
  assert.equal(head.path, `${CHAT}?a=1`);
  assert.equal(head.endpoint.path, CHAT);
  assert.equal(head.upstreamType, 'application/json');
  assert.equal(head.strategy, 'shuffle');
  assert.equal(head.explain, true);
});
