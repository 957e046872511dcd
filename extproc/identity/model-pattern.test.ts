import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { ModelSchema } from '../../proto/gen/fairlead/v1/table_pb.js';
import { modelFilter } from './model-pattern.ts';

const LLAMA = create(ModelSchema, {
  id: 'meta-llama/Llama-3.1-8B',
  aliases: ['llama', 'turbo'],
  names: ['meta-llama/Llama-3.1-8B', 'llama', 'turbo', 'meta-llama/Llama-3.1-8B@2', 'llama@2'],
});
/** Not the default of its versions: the bare id is another's. */
const OLDER = create(ModelSchema, { id: 'qwen', names: ['qwen@1'] });

const named = (id: string) => create(ModelSchema, { id, names: [id] });
const fits = (pattern: string, text: string) => modelFilter([pattern])(named(text));

describe('model patterns', () => {
  const cases: readonly (readonly [pattern: string, llama: boolean, older: boolean])[] = [
    ['meta-llama/Llama-3.1-8B', true, false],
    ['llama', true, false],
    ['llama@2', true, false],
    ['llama@3', false, false],
    ['Llama', false, false],
    ['meta-llama/*', true, false],
    ['*llama*', true, false],
    ['*/Llama-*-8B', true, false],
    ['*@2', true, false],
    ['tur*bo', true, false],
    ['turb*bo', false, false],
    ['*', true, true],
    ['**', true, true],
    ['q*', false, true],
    ['qwen', false, true],
    ['qwen@1', false, true],
    ['qwen@*', false, true],
    ['.*', false, false],
    ['lla?a', false, false],
    ['', false, false],
  ];
  for (const [pattern, llama, older] of cases) {
    test(`"${pattern}"`, () => assert.deepEqual([LLAMA, OLDER].map(modelFilter([pattern])), [llama, older]));
  }

  test('without patterns every model, with none of them none, with several any', () => {
    assert.deepEqual([LLAMA, OLDER].map(modelFilter(undefined)), [true, true]);
    assert.deepEqual([LLAMA, OLDER].map(modelFilter([])), [false, false]);
    assert.deepEqual([LLAMA, OLDER].map(modelFilter(['x', 'turbo', 'q*'])), [true, true]);
  });

  test('a model that takes the place of another is looked at anew', () => {
    const filter = modelFilter(['turbo']);
    assert.deepEqual([LLAMA, LLAMA, { ...LLAMA, names: [], aliases: [] }].map(filter), [true, true, false]);
  });

  test('as a regular expression would have it', () => {
    const characters = fc.constantFrom('a', 'b', '/', '.', '@');
    const pattern = fc.string({ unit: fc.oneof(characters, fc.constant('*')), maxLength: 12 });
    fc.assert(
      fc.property(pattern, fc.string({ unit: characters, maxLength: 12 }), (pattern, text) => {
        const expression = new RegExp(`^${pattern.split('*').map(RegExp.escape).join('.*')}$`, 's');
        return fits(pattern, text) === expression.test(text);
      }),
      { numRuns: 3_000 },
    );
  });

  test('what a `*` stands for can be any text', () => {
    const text = fc.string({ unit: 'binary' });
    const parts = fc.array(
      text.filter(part => !part.includes('*')),
      { minLength: 2, maxLength: 4 },
    );
    fc.assert(fc.property(parts, text, (parts, between) => fits(parts.join('*'), parts.join(between))));
  });

  test('no pattern is slow', () => {
    assert.equal(fits(`${'a*'.repeat(128)}b`, 'a'.repeat(100_000)), false);
  });
});
