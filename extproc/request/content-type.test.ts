import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isRefusal } from '../../errors/refusal.ts';
import { checkContent, readBoundary } from './content-type.ts';

const JSON_TYPES: [type: string | undefined, expected: string][] = [
  ['application/json', 'as is'],
  ['Application/JSON', 'as is'],
  ['application/json; charset=utf-8', 'as is'],
  ['application/json;charset="UTF-8"', 'as is'],
  ['application/json;', 'as is'],
  // Engines (vLLM) take application/json alone, so the rest is renamed for them.
  [undefined, 'application/json'],
  ['', 'application/json'],
  ['application/x-www-form-urlencoded', 'application/json'],
  ['text/plain;charset=UTF-8', 'application/json'],
  ['application/vnd.api+json', 'application/json'],
  ['multipart/form-data; boundary=x', 'unsupported_media_type'],
  ['text/html', 'unsupported_media_type'],
  ['application/xml', 'unsupported_media_type'],
  ['application/jsonp', 'unsupported_media_type'],
  ['application/json, multipart/form-data', 'unsupported_media_type'],
  ['application/json; charset=utf-16', 'unsupported_media_type'],
  ['application/json; charset=utf-8; charset=utf-16', 'unsupported_media_type'],
  ['text/plain; charset=iso-8859-1', 'unsupported_media_type'],
  ['application/json; charset', 'unsupported_media_type'],
  [';', 'unsupported_media_type'],
];

for (const [type, expected] of JSON_TYPES) {
  test(`a JSON endpoint given ${JSON.stringify(type)}: ${expected}`, () => {
    const content = checkContent('json', type, undefined);
    assert.equal(isRefusal(content) ? content.code : (content.upstreamType ?? 'as is'), expected);
  });
}

const FORM_TYPES: [type: string | undefined, expected: string][] = [
  ['multipart/form-data; boundary=abc', 'abc'],
  ['multipart/form-data; boundary="a b?c"', 'a b?c'],
  ['Multipart/Form-Data; Boundary=----WebKitFormBoundary7MA4YWxk', '----WebKitFormBoundary7MA4YWxk'],
  ['multipart/form-data; charset=utf-8; boundary=a=b', 'a=b'],
  ['multipart/form-data', 'invalid_parameter'],
  ['multipart/form-data; boundary=', 'invalid_parameter'],
  ['multipart/form-data; boundary="a "', 'invalid_parameter'],
  ['multipart/form-data; boundary="a\\b"', 'invalid_parameter'],
  [`multipart/form-data; boundary=${'x'.repeat(71)}`, 'invalid_parameter'],
  ["multipart/form-data; boundary=a; boundary*=utf-8''b", 'invalid_parameter'],
  ['multipart/form-data; boundary=a; boundary*0=b', 'invalid_parameter'],
  ['multipart/form-data; boundary=a; boundary=b', 'unsupported_media_type'],
  ['multipart/form-data; boundary=a; charset=utf-16', 'unsupported_media_type'],
  ['multipart/mixed; boundary=a', 'unsupported_media_type'],
  ['application/json', 'unsupported_media_type'],
  [undefined, 'unsupported_media_type'],
];

for (const [type, expected] of FORM_TYPES) {
  test(`a multipart endpoint given ${JSON.stringify(type)}: ${expected}`, () => {
    const boundary = readBoundary(type);
    assert.equal(typeof boundary === 'string' ? boundary : boundary.code, expected);
    const content = checkContent('multipart', type, undefined);
    assert.equal(isRefusal(content) ? content.code : 'as is', typeof boundary === 'string' ? 'as is' : expected);
  });
}

test('a compressed body is refused, an identical one is not', () => {
  const gzip = checkContent('json', 'application/json', 'gzip');
  assert.equal(isRefusal(gzip) && gzip.code, 'unsupported_media_type');
  assert.equal(isRefusal(checkContent('json', 'application/json', 'Identity')), false);
});
