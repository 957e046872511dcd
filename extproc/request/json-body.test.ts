import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isRefusal } from '../../errors/refusal.ts';
import { Validation } from '../../proto/gen/fairlead/v1/table_pb.js';
import { INFERENCE_ENDPOINTS, OUTPUT_LIMITS } from './endpoints.ts';
import { readJsonBody } from './json-body.ts';
import { MAX_NESTING_LEVELS } from './json-scan.ts';

const { OFF, BASIC, STRICT } = Validation;

/** Where all of it is read. */
const EVERYTHING = { generatesText: true, outputLimits: OUTPUT_LIMITS, takesPromptLists: true };

function read(body: string | Uint8Array, validation = BASIC) {
  return readJsonBody(Buffer.from(body), validation, EVERYTHING);
}

/** What a body comes down to, on one line. */
function told(body: string | Uint8Array, validation = BASIC): string {
  const facts = read(body, validation);
  if (isRefusal(facts)) return facts.param === null ? facts.code : `${facts.code} ${facts.param}`;
  return `${facts.model?.value ?? '-'} ${facts.stream ? 'stream' : 'whole'} ${facts.maxOutputTokens ?? '-'}`;
}

const READ: [body: string, expected: string][] = [
  ['{}', '- whole -'],
  [' \t\r\n{ } \n', '- whole -'],
  ['{"model":"llama"}', 'llama whole -'],
  ['\ufeff{"model":"llama"}', 'llama whole -'],
  ['\n{ "model" : "llama" , "stream" : true }\n', 'llama stream -'],
  ['{"stream":false,"model":"llama"}', 'llama whole -'],
  ['{"stream":null,"max_tokens":null}', '- whole -'],
  // A key is the same key however it is escaped.
  ['{"mod\\u0065l":"llama"}', 'llama whole -'],
  ['{"\\u006d\\u006F\\u0064\\u0065\\u006C":"llama"}', 'llama whole -'],
  ['{"str\\u0065am":true}', '- stream -'],
  [
    '{"\\u006d\\u0061\\u0078\\u005f\\u0063\\u006f\\u006d\\u0070\\u006c\\u0065\\u0074\\u0069\\u006f\\u006e\\u005f\\u0074\\u006f\\u006b\\u0065\\u006e\\u0073":7}',
    '- whole 7',
  ],
  // So is a name.
  ['{"model":"meta-llama\\/Llama"}', 'meta-llama/Llama whole -'],
  ['{"model":"a\\"b\\\\"}', 'a"b\\ whole -'],
  ['{"model":"mod\\u00e8le"}', 'modèle whole -'],
  ['{"model":"modèle 模型"}', 'modèle 模型 whole -'],
  [`{"model":"${'\\u0061'.repeat(256)}"}`, `${'a'.repeat(256)} whole -`],
  // Only the top level counts.
  ['{"a":{"model":"b"},"b":[{"model":1,"stream":true}],"model":"llama"}', 'llama whole -'],
  ['{"a":"\\"model\\":\\"b\\"","model":"llama"}', 'llama whole -'],
  ['{"a":"}","b":"]","c":"\\\\","d":"\\\\\\"","model":"llama"}', 'llama whole -'],
  ['{"models":"b","model ":"c","mode":"d","sTream":true}', '- whole -'],
  // Of duplicates the last counts, but for the model.
  ['{"stream":true,"stream":false}', '- whole -'],
  ['{"max_tokens":5,"max_tokens":6}', '- whole 6'],
  // Limits.
  ['{"max_tokens":16}', '- whole 16'],
  ['{"max_completion_tokens":16}', '- whole 16'],
  ['{"max_output_tokens":16}', '- whole 16'],
  ['{"max_output_tokens":1,"max_tokens":2,"max_completion_tokens":3}', '- whole 3'],
  ['{"max_completion_tokens":null,"max_tokens":2}', '- whole 2'],
  ['{"max_completion_tokens":1,"max_tokens":30000}', '- whole 30000'],
  ['{"max_completion_tokens":0,"max_tokens":2}', '- whole 2'],
  ['{"max_tokens":0}', '- whole -'],
  ['{"max_tokens":1e2}', '- whole 100'],
  ['{"max_tokens":16.0}', '- whole 16'],
  // Numbers that no double holds are passed by.
  ['{"seed":123456789012345678901234567890,"x":-0.5E+3,"y":0,"z":-0,"model":"llama"}', 'llama whole -'],
  ['{"x":1e999,"t":true,"f":false,"n":null,"e":"","o":{},"a":[],"model":"llama"}', 'llama whole -'],
  [`{"a":"${'long '.repeat(500)}\\"${'text '.repeat(500)}","model":"llama"}`, 'llama whole -'],
  [`{"a":"${'\\\\'.repeat(500)}","model":"llama"}`, 'llama whole -'],
];

for (const [body, expected] of READ) {
  test(`${JSON.stringify(body).slice(0, 70)} is read`, () => {
    for (const validation of [OFF, BASIC, STRICT]) assert.equal(told(body, validation), expected);
  });
}

const INVALID_JSON = [
  '',
  '  \n',
  '\ufeff',
  'hello',
  'null',
  'true',
  '1',
  '"model"',
  '[]',
  '[{"model":"llama"}]',
  'model=llama',
  '{',
  '{"',
  '{"model',
  '{"model"',
  '{"model":',
  '{"model":"llama',
  '{"model":"llama"',
  '{"model":"llama",',
  '{"model":"llama",}',
  '{"model":"llama"}}',
  '{"model":"llama"}{"model":"b"}',
  '{"model":"llama"} x',
  '{"model":"llama"}\0',
  '{"model":"llama"}\ufeff',
  '{"model" "llama"}',
  '{"model"::"llama"}',
  '{"a":1 "model":"llama"}',
  '{,"model":"llama"}',
  '{"a":1,,"model":"llama"}',
  '{model:"llama"}',
  "{'model':'llama'}",
  '{"a":tru}',
  '{"a":True}',
  '{"a":nul',
  '{"a":NaN}',
  '{"a":Infinity}',
  '{"a":-}',
  '{"a":01}',
  '{"a":+1}',
  '{"a":.5}',
  '{"a":1.}',
  '{"a":1e}',
  '{"a":1e+}',
  '{"a":0x10}',
  '{"a":truex}',
  '{"a":[1,2}',
  '{"a":{"b":1]}',
  '{"a":[}]}',
  '{"a":["b]}',
  '{"a":]}',
  '{"a":"\\"}',
  '{"m\\qodel":"llama"}',
  '{"mod\\u00zzl":"llama"}',
  '/* hi */{"model":"llama"}',
  '{"model":"llama"}// hi',
  '\u00a0{"model":"llama"}',
];

for (const body of INVALID_JSON) {
  test(`${JSON.stringify(body)} is invalid_json`, () => {
    for (const validation of [OFF, BASIC, STRICT]) assert.equal(told(body, validation), 'invalid_json');
  });
}

const WRONG_MODELS: [body: string | Uint8Array, expected: string][] = [
  ['{"model":7}', 'invalid_parameter model'],
  ['{"model":null}', 'invalid_parameter model'],
  ['{"model":true}', 'invalid_parameter model'],
  ['{"model":["llama"]}', 'invalid_parameter model'],
  ['{"model":{"id":"llama"}}', 'invalid_parameter model'],
  ['{"model":""}', 'invalid_parameter model'],
  [`{"model":"${'x'.repeat(257)}"}`, 'invalid_parameter model'],
  [`{"model":"${'x'.repeat(1 << 20)}"}`, 'invalid_parameter model'],
  [`{"model":"${'\\u0061'.repeat(257)}"}`, 'invalid_parameter model'],
  ['{"model":"a\\u0000b"}', 'invalid_parameter model'],
  ['{"model":"a\\r\\nb"}', 'invalid_parameter model'],
  ['{"model":"a\nb"}', 'invalid_parameter model'],
  ['{"model":"a\\qb"}', 'invalid_parameter model'],
  ['{"model":"\\ud800"}', 'invalid_parameter model'],
  ['{"model":"a","model":"b"}', 'model_mismatch model'],
  ['{"model":"a","model":"a"}', 'model_mismatch model'],
  ['{"model":"a","mod\\u0065l":"b"}', 'model_mismatch model'],
  ['{"model":1,"x":2,"model":null}', 'model_mismatch model'],
  ['{"Model":"a"}', 'invalid_parameter model'],
  ['{"model":"a","MODEL":"b"}', 'invalid_parameter model'],
  ['{"model":"a","\\u004dodel":"b"}', 'invalid_parameter model'],
];

for (const [body, expected] of WRONG_MODELS) {
  test(`${JSON.stringify(body.toString()).slice(0, 60)} is ${expected}, and its value is not repeated`, () => {
    for (const validation of [OFF, BASIC]) assert.equal(told(body, validation), expected);
    const refusal = read(body);
    assert.ok(isRefusal(refusal) && refusal.message.length < 150 && !refusal.message.includes('x'.repeat(10)));
  });
}

test('a name that is not UTF-8 is refused even where nothing else is checked', () => {
  assert.equal(told(Buffer.from('{"model":"\xff"}', 'latin1'), OFF), 'invalid_parameter model');
});

test('a body that is not UTF-8 is refused, unless nobody asks', () => {
  const body = Buffer.from('{"prompt":"caf\xe9","model":"llama"}', 'latin1');
  assert.equal(told(body, OFF), 'llama whole -');
  assert.equal(told(body, BASIC), 'invalid_json');
  assert.equal(told(Buffer.from('\ufeff{"model":"llama"}', 'utf16le')), 'invalid_json');
  assert.equal(told(Buffer.from('{"model":"llama"}', 'utf16le')), 'invalid_json');
});

const WRONG_VALUES: [body: string, expected: string][] = [
  ['{"stream":1}', 'invalid_parameter stream'],
  ['{"stream":"true"}', 'invalid_parameter stream'],
  ['{"stream":{}}', 'invalid_parameter stream'],
  ['{"max_tokens":"16"}', 'invalid_parameter max_tokens'],
  ['{"max_tokens":-1}', 'invalid_parameter max_tokens'],
  ['{"max_tokens":1.5}', 'invalid_parameter max_tokens'],
  ['{"max_tokens":1e999}', 'invalid_parameter max_tokens'],
  [`{"max_tokens":${'9'.repeat(1_000)}}`, 'invalid_parameter max_tokens'],
  ['{"max_completion_tokens":true}', 'invalid_parameter max_completion_tokens'],
  ['{"max_output_tokens":[1]}', 'invalid_parameter max_output_tokens'],
];

for (const [body, expected] of WRONG_VALUES) {
  test(`${body.slice(0, 60)} is ${expected}, unless nobody asks`, () => {
    assert.equal(told(body, BASIC), expected);
    assert.equal(told(body, STRICT), expected);
    assert.equal(told(body, OFF), '- whole -');
  });
}

const ONLY_STRICT = ['{"a":[1,]}', '{"a":{"b"}}', '{"a":[NaN]}', '{"a":"line\nbreak"}', '{"a":"\\q"}', '{"a":[01]}'];

for (const body of ONLY_STRICT) {
  test(`${JSON.stringify(body)} is left to the engine, unless validation is strict`, () => {
    assert.equal(told(body, BASIC), '- whole -');
    assert.equal(told(body, STRICT), 'invalid_json');
  });
}

test('strict validation does not repeat the body in its error', () => {
  const refusal = read('{"model":"a","x":["hunter2\n"]}', STRICT);
  assert.ok(isRefusal(refusal) && !refusal.message.includes('hunter2'));
});

test('the error says where the text stops being JSON', () => {
  const refusal = read('{"model":"llama";"stream":true}');
  assert.match(isRefusal(refusal) ? refusal.message : '', /at byte 16\b/);
});

test('nesting is followed to its limit and refused beyond, without recursion', () => {
  const nested = (levels: number) => `{"a":${'['.repeat(levels)}${']'.repeat(levels)},"model":"llama"}`;
  assert.equal(told(nested(MAX_NESTING_LEVELS)), 'llama whole -');
  assert.equal(told(nested(MAX_NESTING_LEVELS + 1)), 'invalid_json');
  assert.equal(told(`{"a":${'[{"b":'.repeat(2_000_000)}`), 'invalid_json');
  // A deep value that was given up leaves nothing behind for the next body.
  assert.equal(told(nested(3)), 'llama whole -');
});

test('as many members as any request has are read, and no more', () => {
  const members = (count: number) => `{${'"a":1,'.repeat(count - 1)}"model":"llama"}`;
  assert.equal(told(members(1_000)), 'llama whole -');
  assert.equal(told(members(1_001)), 'invalid_json');
});

test('the ranges are those of the bytes, in a body that is a view into a larger buffer', () => {
  const body = '{"é":"日本","model" : "m\\u00e8", "stream":true}';
  const padded = Buffer.from(`garbage"${body}"garbage`);
  const view = new Uint8Array(padded.buffer, padded.byteOffset + 8, Buffer.byteLength(body));
  const facts = readJsonBody(view, BASIC, EVERYTHING);
  assert.ok(!isRefusal(facts) && facts.model);
  assert.equal(Buffer.from(view.subarray(facts.model.start, facts.model.end)).toString(), '"m\\u00e8"');
  assert.deepEqual(facts.insertion, { kind: 'json', at: 1, comma: true });
});

test('a limit on the answer is what engines read at the endpoint', () => {
  const body = Buffer.from('{"max_completion_tokens":1,"max_tokens":2,"max_output_tokens":3}');
  const limits = INFERENCE_ENDPOINTS.filter(({ content }) => content === 'json').map(endpoint => {
    const facts = readJsonBody(body, BASIC, endpoint);
    return [endpoint.path.slice('/v1/'.length), isRefusal(facts) ? facts.param : facts.maxOutputTokens];
  });
  assert.deepEqual(Object.fromEntries(limits.filter(([, limit]) => limit !== undefined)), {
    'chat/completions': 2,
    completions: 2,
    responses: 3,
    messages: 2,
  });
});

test('answers generated at once are counted', () => {
  const answers = (members: string, { validation = BASIC, endpoint = EVERYTHING } = {}) => {
    const facts = readJsonBody(Buffer.from(`{${members}}`), validation, endpoint);
    return isRefusal(facts) ? facts.param : facts.answers;
  };
  const counted: [members: string, expected: number][] = [
    ['"n":3', 3],
    ['"n":1e1', 10],
    ['"n":null', 1],
    ['"n":2,"best_of":5', 5],
    ['"n":2,"best_of":1', 2],
    ['"best_of":"3"', 1],
    ['"prompt":"a"', 1],
    ['"prompt":[1,2,3]', 1],
    ['"prompt":["a","b","c"]', 3],
    ['"prompt":[[1,2],[3]],"best_of":4', 8],
    ['"prompt":["a","b"],"n":9007199254740991', Number.MAX_SAFE_INTEGER],
  ];
  for (const [members, expected] of counted) assert.equal(answers(members), expected, members);
  for (const wrong of ['0', '-1', '1.5', '"2"', '[2]', '1e400']) {
    assert.equal(answers(`"n":${wrong}`), 'n');
    assert.equal(answers(`"n":${wrong}`, { validation: OFF }), 1);
  }
  const plain = { ...EVERYTHING, takesPromptLists: false };
  assert.equal(answers('"prompt":["a","b"],"best_of":4', { endpoint: plain }), 4);
  const images = { ...plain, generatesText: false };
  assert.equal(answers('"prompt":["a","b"],"n":2,"best_of":4', { endpoint: images }), 2);
});
