import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseHeaderValue } from './header-value.ts';

const READ: [text: string, value: string, parameters: [string, string][]][] = [
  ['form-data', 'form-data', []],
  ['  Form-Data  ', 'form-data', []],
  ['form-data; name="model"', 'form-data', [['name', 'model']]],
  ['form-data ;NAME = model ; ', 'form-data', [['name', 'model']]],
  ['form-data;;name=""', 'form-data', [['name', '']]],
  [
    'form-data; filename="a\\"; name=\\"b"; name=c',
    'form-data',
    [
      ['filename', 'a\\"; name=\\"b'],
      ['name', 'c'],
    ],
  ],
  ['a; x="; name=y"', 'a', [['x', '; name=y']]],
];

for (const [text, value, parameters] of READ) {
  test(`${text} is read`, () => {
    const read = parseHeaderValue(text);
    assert.deepEqual([read?.value, [...(read?.parameters ?? [])]], [value, parameters]);
  });
}

const REFUSED = [
  '',
  '   ',
  ';',
  'a b',
  'a; name',
  'a; name="x',
  'a; name="x" y',
  'a; name=x"y"',
  'a; n=1; N=2',
  'a; x="\\\\"; n=1',
];

for (const text of REFUSED) {
  test(`${text} is not read`, () => assert.equal(parseHeaderValue(text), undefined));
}

test('what is written by the rules is read back', () => {
  const token = fc.stringMatching(/^[a-z][a-z0-9-]{0,9}$/);
  const text = fc.string({ unit: fc.constantFrom(...'ab ;=,/éü') });
  fc.assert(
    fc.property(token, fc.uniqueArray(fc.tuple(token, text), { selector: ([name]) => name }), (value, parameters) => {
      const written = [value, ...parameters.map(([name, text]) => `${name}="${text}"`)].join('; ');
      const read = parseHeaderValue(written);
      assert.deepEqual([read?.value, [...(read?.parameters ?? [])]], [value, parameters]);
    }),
  );
});
