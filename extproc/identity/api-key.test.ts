import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { checkApiKey, digestOf, newApiKey } from './api-key.ts';

const key = fc.uint8Array({ minLength: 32, maxLength: 32 }).map(newApiKey);

describe('API keys', () => {
  test('their form is settled: keys that were given away must stay what they are', () => {
    assert.equal(newApiKey(new Uint8Array(32)), 'fl-00000000000000000000000000000000000000000002CZclj');
    assert.equal(newApiKey(new Uint8Array(32).fill(255)), 'fl-yhjskwdA6OZ1AL1YmHWZWm8LLG7HjnuCA2j5rOw8Xp13sRzl1');
    assert.match(newApiKey(randomBytes(32)), /^fl-[0-9A-Za-z]{49}$/);
  });

  test('different bytes make different keys, also where they begin with zeros', () => {
    const bytes = fc.uint8Array({ minLength: 32, maxLength: 32 });
    fc.assert(
      fc.property(
        bytes,
        bytes,
        (one, other) => (newApiKey(one) === newApiKey(other)) === Buffer.from(one).equals(other),
      ),
    );
    for (const wrong of [0, 31, 33]) assert.throws(() => newApiKey(new Uint8Array(wrong)), RangeError);
  });

  test('a new one is ours', () => {
    fc.assert(fc.property(key, text => checkApiKey(text) === 'ours'));
  });

  test('any other character anywhere is a typing error, and so is one too many or too few, or two digits swapped', () => {
    const at = fc.nat({ max: 51 });
    const character = fc.oneof(
      fc.string({ unit: 'grapheme-ascii', minLength: 1, maxLength: 1 }),
      fc.constantFrom('é', '😀'),
    );
    fc.assert(
      fc.property(key, at, character, (text, place, typed) => {
        const [before, there, next, after] = [
          text.slice(0, place),
          text[place],
          text[place + 1] ?? '',
          text.slice(place + 2),
        ];
        if (typed !== there) assert.equal(checkApiKey(`${before}${typed}${next}${after}`), 'mistyped');
        assert.equal(checkApiKey(`${before}${typed}${text.slice(place)}`), 'mistyped');
        assert.equal(checkApiKey(`${before}${next}${after}`), 'mistyped');
        if (place > 2 && next !== '' && next !== there)
          assert.equal(checkApiKey(`${before}${next}${there}${after}`), 'mistyped');
      }),
      { numRuns: 1_000 },
    );
  });

  test('keys of others are foreign', () => {
    for (const text of [
      '',
      'fl',
      'sk-proj-abc',
      'any_key',
      `eyJ${'a'.repeat(49)}`,
      'x'.repeat(10_000),
      'ключ',
      '\u{1f511}',
    ]) {
      assert.equal(checkApiKey(text), 'foreign', text);
    }
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), text => text.startsWith('fl-') || checkApiKey(text) === 'foreign'),
    );
  });

  test('the digest is SHA-256 of the UTF-8, in hex', () => {
    for (const text of ['', 'a', 'clé-é', '🔑']) {
      assert.equal(digestOf(text), createHash('sha256').update(Buffer.from(text, 'utf8')).digest('hex'));
    }
  });
});
