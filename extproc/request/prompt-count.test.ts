import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { promptCount } from './prompt-count.ts';

function count(text: string): number {
  const padded = Buffer.from(`{"prompt":${text}, "x":["a","b"]}`);
  return promptCount(padded, '{"prompt":'.length, '{"prompt":'.length + Buffer.byteLength(text));
}

test('prompts are counted as JSON.parse would find them', () => {
  const text = fc.string({ unit: 'binary' });
  const tokens = fc.array(fc.nat());
  const prompt = fc.oneof(text, tokens, fc.array(text), fc.array(tokens), fc.jsonValue());
  fc.assert(
    fc.property(prompt, fc.constantFrom(0, 1, '\t'), (value, indent) => {
      const parsed: unknown = JSON.parse(JSON.stringify(value));
      const isList = Array.isArray(parsed) && (typeof parsed[0] === 'string' || Array.isArray(parsed[0]));
      assert.equal(count(JSON.stringify(value, null, indent)), isList ? parsed.length : 1);
    }),
  );
});

test('very many prompts are taken for as many as there is room for', () => {
  const prompts = (length: number) => JSON.stringify(Array.from({ length }, () => ''));
  assert.equal(count(prompts(9_999)), 9_999);
  for (const length of [10_000, 10_001, 1_000_000]) assert.equal(count(prompts(length)), length + 1);
});

test('what is not JSON ends the count', () => {
  assert.equal(count('["a" "b"]'), 1);
  assert.equal(count('["a",tru]'), 2);
  assert.equal(count('["a",]'), 2);
});
