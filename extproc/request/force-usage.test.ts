import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { isRefusal } from '../../errors/refusal.ts';
import { Validation } from '../../proto/gen/fairlead/v1/table_pb.js';
import { applyEdits } from './body-edit.ts';
import { INFERENCE_ENDPOINTS, type InferenceEndpoint } from './endpoints.ts';
import { usageEdits } from './force-usage.ts';
import { readJsonBody } from './json-body.ts';
import { nameModel } from './name-model.ts';

const endpointAt = (path: string): InferenceEndpoint => INFERENCE_ENDPOINTS.find(other => other.path === path)!;
const chat = endpointAt('/v1/chat/completions');

function read(body: string) {
  const bytes = Buffer.from(body);
  const facts = readJsonBody(bytes, Validation.BASIC, chat);
  assert.ok(!isRefusal(facts));
  return { bytes, facts };
}

function forced(body: string, endpoint = chat): string {
  const { bytes, facts } = read(body);
  return Buffer.from(applyEdits(bytes, usageEdits(endpoint, bytes, facts))).toString();
}

const ASKED = '"stream_options":{"include_usage":true}';

describe('a stream is asked for its usage', () => {
  const edited: [body: string, expected: string][] = [
    ['{"stream":true}', `{${ASKED},"stream":true}`],
    ['{"stream":true,"stream_options":null}', `{"stream":true,${ASKED}}`],
    ['{"stream_options":{},"stream":true}', `{${ASKED},"stream":true}`],
    ['{"stream_options":{ },"stream":true}', '{"stream_options":{"include_usage":true },"stream":true}'],
    [
      '{"stream_options":{"a":{"include_usage":false}},"stream":true}',
      '{"stream_options":{"include_usage":true,"a":{"include_usage":false}},"stream":true}',
    ],
    [
      '{"stream":true,"stream_options":{"include_usage" : false}}',
      '{"stream":true,"stream_options":{"include_usage" : true}}',
    ],
    [
      '{"stream":true,"stream_options":{"include_usage":null,"x":1}}',
      '{"stream":true,"stream_options":{"include_usage":true,"x":1}}',
    ],
    [
      '{"stream":true,"stream_options":{"include_usage":true,"include\\u005fusage":0}}',
      '{"stream":true,"stream_options":{"include_usage":true,"include\\u005fusage":true}}',
    ],
  ];
  for (const [body, expected] of edited) it(body, () => assert.equal(forced(body), expected));
});

describe('nothing is changed of', () => {
  const unchanged = [
    '{}',
    '{"stream":false,"stream_options":{"include_usage":false}}',
    '{"stream":true,"stream_options":{"include_usage":true}}',
    '{"stream":true,"stream_options":[]}',
    '{"stream":true,"stream_options":"yes"}',
    '{"stream":true,"stream_options":{include_usage:false}}',
    '{"stream":true,"stream_options":{"include_usage" false}}',
  ];
  for (const body of unchanged) it(body, () => assert.equal(forced(body), body));

  it('streams that tell their usage anyway', () => {
    for (const path of ['/v1/responses', '/v1/messages']) {
      assert.equal(forced('{"stream":true}', endpointAt(path)), '{"stream":true}');
    }
  });
});

it('in any body the stream is asked, the model is named, and all else stays, in one pass', () => {
  const members = fc
    .dictionary(fc.string({ unit: 'binary' }), fc.jsonValue(), { maxKeys: 4 })
    .filter(object => !Object.keys(object).some(key => /^(model|n|stream|stream_options|max_.*tokens)$/i.test(key)));
  const usage = fc.option(fc.record({ include_usage: fc.jsonValue() }), { nil: {} });
  const options = fc.option(fc.tuple(members, usage, members).map(parts => Object.assign({}, ...parts)));
  fc.assert(
    fc.property(
      members,
      options,
      fc.boolean(),
      members,
      fc.nat(3),
      (before, stream_options, isNamed, after, indent) => {
        const object = {
          ...before,
          ...(isNamed && { model: 'old' }),
          ...(stream_options !== null && { stream_options }),
          stream: true,
          ...after,
        };
        const { bytes, facts } = read(JSON.stringify(object, null, indent));
        const result = Buffer.from(nameModel(bytes, facts, 'new', usageEdits(chat, bytes, facts))).toString();
        const expected = { ...object, model: 'new', stream_options: { ...stream_options, include_usage: true } };
        assert.deepEqual(JSON.parse(result), JSON.parse(JSON.stringify(expected)));
        const again = read(result);
        assert.equal(
          nameModel(again.bytes, again.facts, 'new', usageEdits(chat, again.bytes, again.facts)),
          again.bytes,
        );
      },
    ),
    { numRuns: 500 },
  );
});
