import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isRefusal } from '../../errors/refusal.ts';
import { Validation } from '../../proto/gen/fairlead/v1/table_pb.js';
import { INFERENCE_ENDPOINTS } from './endpoints.ts';
import { readJsonBody } from './json-body.ts';
import { readMultipartBody } from './multipart-body.ts';
import { nameModel } from './name-model.ts';

const CHAT = INFERENCE_ENDPOINTS[0]!;

function renamed(body: string, name: string): string {
  const bytes = Buffer.from(body);
  const facts = readJsonBody(bytes, Validation.STRICT, CHAT);
  assert.ok(!isRefusal(facts));
  return Buffer.from(nameModel(bytes, facts, name)).toString();
}

const RENAMED: [body: string, name: string, expected: string][] = [
  ['{"model":"a"}', 'b', '{"model":"b"}'],
  ['{ "model" :\t"a" , "x":1}', 'longer/name', '{ "model" :\t"longer/name" , "x":1}'],
  ['{"model":"\\u0061b"}', 'c', '{"model":"c"}'],
  ['{"model":"a"}', 'say "é\\"', '{"model":"say \\"é\\\\\\""}'],
  [
    '{"seed":123456789012345678901234567890,"z":1.0,"a":"\\u00e9é","model":"a"}',
    'b',
    '{"seed":123456789012345678901234567890,"z":1.0,"a":"\\u00e9é","model":"b"}',
  ],
  ['{"mod\\u0065l":"a"}', 'b', '{"mod\\u0065l":"b"}'],
  // Inserted where there is none.
  ['{}', 'b', '{"model":"b"}'],
  [' { \n } ', 'b', ' {"model":"b" \n } '],
  ['{"x":1}', 'b', '{"model":"b","x":1}'],
  ['{ "x":{"model":"inner"}}', 'b', '{"model":"b", "x":{"model":"inner"}}'],
  ['\ufeff{"x":1}', 'b', '\ufeff{"model":"b","x":1}'],
];

for (const [body, name, expected] of RENAMED) {
  test(`${JSON.stringify(body)} named ${name}`, () => assert.equal(renamed(body, name), expected));
}

test('a body that names the model already is not copied, however the name is escaped', () => {
  for (const text of ['{"model":"a/b"}', '{"model":"a\\/b"}']) {
    const body = Buffer.from(text);
    const facts = readJsonBody(body, Validation.BASIC, CHAT);
    assert.ok(!isRefusal(facts));
    assert.equal(nameModel(body, facts, 'a/b'), body);
  }
});

test('in any JSON body only the model changes', () => {
  const name = fc.string({ unit: 'binary', minLength: 1, maxLength: 50 });
  const members = fc.dictionary(fc.string({ unit: 'binary' }), fc.jsonValue(), { maxKeys: 6 });
  const isFree = (members: object) =>
    !Object.keys(members).some(key => /^(model|n|stream|stream_options|max_.*_?tokens)$/i.test(key));
  const before = fc.option(fc.constantFrom('old', 'o/l-d', 'öld'), { nil: undefined });
  fc.assert(
    fc.property(
      members.filter(isFree),
      members.filter(isFree),
      before,
      name,
      fc.nat({ max: 3 }),
      (head, tail, old, name, indent) => {
        const object = { ...head, ...(old === undefined ? {} : { model: old }), ...tail };
        const text = JSON.stringify(object, null, indent);
        const bytes = Buffer.from(text);
        const facts = readJsonBody(bytes, Validation.STRICT, CHAT);
        assert.ok(!isRefusal(facts));
        const result = Buffer.from(nameModel(bytes, facts, name));
        assert.deepEqual(JSON.parse(result.toString()), {
          ...JSON.parse(text),
          model: name.toWellFormed() === name ? name : JSON.parse(JSON.stringify(name)),
        });
        const start = facts.model?.start ?? facts.insertion.at;
        const tailLength = bytes.length - (facts.model?.end ?? start);
        assert.ok(result.subarray(0, start).equals(bytes.subarray(0, start)));
        assert.ok(result.subarray(result.length - tailLength).equals(bytes.subarray(bytes.length - tailLength)));
        const written = result.toString('utf8', start, result.length - tailLength);
        assert.match(written, old === undefined ? /^"model":".*",?$/s : /^".*"$/s);
      },
    ),
    { numRuns: 1_000 },
  );
});

const FORM_TYPE = 'multipart/form-data; boundary=XX';

function renamedForm(body: string, name: string): string {
  const bytes = Buffer.from(body, 'latin1');
  const facts = readMultipartBody(bytes, FORM_TYPE);
  assert.ok(!isRefusal(facts));
  return Buffer.from(nameModel(bytes, facts, name)).toString('latin1');
}

const FILE_PART = '--XX\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n\xff\0\r\n--X\r\n';
const MODEL_PART = '--XX\r\ncontent-disposition: form-data; name=model\r\nContent-Type: text/plain\r\n\r\n';

test("a form's model is replaced in place", () => {
  assert.equal(
    renamedForm(`${FILE_PART}${MODEL_PART}old\r\n--XX--\r\n`, 'new/name'),
    `${FILE_PART}${MODEL_PART}new/name\r\n--XX--\r\n`,
  );
});

test('a form without model gets one as its first part', () => {
  const result = renamedForm(`\r\n${FILE_PART}--XX--`, 'whisper');
  const inserted = '--XX\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper\r\n';
  assert.equal(result, `\r\n${inserted}${FILE_PART}--XX--`);
});
