import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ERRORS, type ErrorCode } from '../../errors/codes.ts';
import { ENVOY_REPLIES } from '../../errors/envoy-replies.ts';
import type { ResponseMapperJson } from '../../proto/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { localReplies } from './local-replies.ts';

const [passThrough = assert.fail(), ...mappers] = localReplies().mappers ?? [];

function text(mapper: ResponseMapperJson): string {
  return mapper.bodyFormatOverride?.textFormatSource?.inlineString ?? assert.fail();
}

test('what extproc answered comes first and passes as it is', () => {
  assert.match(JSON.stringify(passThrough.filter), /startsWith\('fairlead_'\)/);
  assert.equal(text(passThrough), '%LOCAL_REPLY_BODY%');
  assert.equal(passThrough.statusCode, undefined);
});

test('each row of the table is there in both dialects, Anthropic’s first, and the rest is an internal error', () => {
  const codes: ErrorCode[] = [...ENVOY_REPLIES.map(({ code }) => code), 'internal_error'];
  assert.equal(mappers.length, 2 * codes.length);
  for (const [index, code] of codes.entries()) {
    const [anthropic, openai] = mappers.slice(2 * index, 2 * index + 2);
    assert.ok(anthropic && openai);
    assert.match(JSON.stringify(anthropic.filter), /request\.path\.startsWith/);
    assert.equal(JSON.parse(text(anthropic)).type, 'error');
    assert.doesNotMatch(JSON.stringify(openai.filter), /request\.path/);
    assert.equal(JSON.parse(text(openai)).error.code, code);
    for (const mapper of [anthropic, openai]) {
      assert.equal(mapper.statusCode, ERRORS[code].status);
      assert.equal(mapper.bodyFormatOverride?.contentType, 'application/json');
    }
  }
});

test('where waiting helps, the header says how long', () => {
  for (const mapper of mappers) {
    const { error } = JSON.parse(text(mapper));
    if (!error.code) continue;
    const told = mapper.headersToAdd?.find(({ header }) => header?.key === 'retry-after');
    assert.equal(told?.header?.value, error.retry_after?.toString());
  }
});
