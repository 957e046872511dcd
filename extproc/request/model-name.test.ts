import assert from 'node:assert/strict';
import { test } from 'node:test';
import { agree, checkModelName } from './model-name.ts';

const NAMES = ['llama', 'meta-llama/Llama-3.1-8B-Instruct', 'llama@2', 'modèle', '模型', 'a b', 'x'.repeat(256), '🦙'];

for (const name of NAMES) {
  test(`${name.slice(0, 40)} can be a name`, () => assert.equal(checkModelName(name), undefined));
}

const HOSTILE = [
  ['empty', ''],
  ['257 bytes', 'x'.repeat(257)],
  ['257 bytes in 129 characters', `x${'é'.repeat(128)}`],
  ['a megabyte', 'x'.repeat(1 << 20)],
  ['a null', 'ab\0c'],
  ['a line break', 'ab\r\nx-evil: 1'],
  ['delete', 'ab\x7f'],
  ['a C1 control', 'ab\x85'],
  ['text direction', 'ab\u202e'],
  ['a line separator', 'ab\u2028'],
  ['a byte order mark', '\ufeffab'],
  ['half a surrogate pair', 'ab\ud83e'],
] as const;

for (const [what, name] of HOSTILE) {
  test(`a name with ${what} is refused and not repeated`, () => {
    const refusal = checkModelName(name);
    assert.equal(refusal?.code, 'invalid_parameter');
    assert.equal(refusal.param, 'model');
    assert.ok(refusal.message.length < 150 && (name === '' || !refusal.message.includes(name)));
  });
}

const KEYS = new Map([
  ['meta-llama/Llama-3.1-8B', 'ml/llama'],
  ['llama', 'ml/llama'],
  ['llama@2', 'ml/llama'],
  ['llama@1', 'ml/llama-old'],
  ['bge', 'ml/bge'],
]);

const PAIRS: [preferred: string | undefined, other: string | undefined, expected: string | undefined][] = [
  [undefined, undefined, undefined],
  ['llama', undefined, 'llama'],
  [undefined, 'llama', 'llama'],
  ['llama', 'llama', 'llama'],
  ['llama', 'meta-llama/Llama-3.1-8B', 'llama'],
  ['meta-llama/Llama-3.1-8B', 'llama', 'meta-llama/Llama-3.1-8B'],
  ['llama@2', 'llama', 'llama@2'],
  // Nobody has this model: model_not_found is for whoever looks it up.
  ['unknown', 'unknown', 'unknown'],
  ['llama', 'bge', 'model_mismatch'],
  ['llama@1', 'llama@2', 'model_mismatch'],
  ['llama', 'unknown', 'model_mismatch'],
  ['unknown', 'llama', 'model_mismatch'],
  ['unknown', 'unheard', 'model_mismatch'],
  ['llama', 'Llama', 'model_mismatch'],
];

for (const [preferred, other, expected] of PAIRS) {
  test(`${preferred} before ${other} makes ${expected}`, () => {
    const agreed = agree(preferred, other, name => KEYS.get(name));
    assert.equal(typeof agreed === 'object' ? agreed.code : agreed, expected);
  });
}

test('a name that all sources share is not looked up', () => {
  const agreed = agree('llama', 'llama', () => assert.fail('looked up'));
  assert.equal(agreed, 'llama');
});
