import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { money, nanoOf, picoOf, picoOfOne } from './money.ts';

const schema = money();

/** Amounts as the schema takes them, with how many millionths each is. */
const amounts = fc
  .tuple(fc.bigInt(0n, 9_000_000_000_000n), fc.nat(6))
  .map(([micro, zeros]) => ({ micro, text: written(micro, zeros) }));

/** Without the zeros at the end of the fraction, but for as many as `zeros`. */
function written(micro: bigint, zeros: number): string {
  const fraction = String(micro % 1_000_000n).padStart(6, '0');
  const shown = fraction.replace(/0+$/, '').padEnd(zeros, '0').slice(0, 6);
  return shown === '' ? String(micro / 1_000_000n) : `${micro / 1_000_000n}.${shown}`;
}

describe('money', () => {
  test('is exact to the millionth, whatever zeros end it', () => {
    fc.assert(
      fc.property(amounts, ({ micro, text }) => {
        assert.equal(schema.parse(text), text);
        assert.equal(nanoOf(text), micro * 1_000n);
        assert.equal(picoOf(text), micro * 1_000_000n);
        assert.equal(picoOfOne(text) * 1_000_000n, picoOf(text), 'a million of them cost what was said');
      }),
    );
  });

  test('is what the strings say, not what binary fractions make of them', () => {
    assert.equal(picoOfOne('0.1') + picoOfOne('0.2'), picoOfOne('0.3'));
    assert.equal(picoOfOne('0.10'), 100_000n);
    assert.equal(picoOfOne('0.000001'), 1n);
    assert.equal(picoOf('0.006'), 6_000_000_000n);
    assert.equal(nanoOf('100.00'), 100_000_000_000n);
  });

  test('at its bound fits where it is kept: a safe integer of nano, 64 bits of pico', () => {
    assert.ok(nanoOf('9000000') <= BigInt(Number.MAX_SAFE_INTEGER));
    assert.ok(picoOf('9000000') < 2n ** 63n);
    assert.ok(schema.safeParse('9000000.000000').success);
    assert.ok(!schema.safeParse('9000000.000001').success);
  });

  test('has one form, so that nothing is guessed', () => {
    const wrong = [
      '',
      '.5',
      '5.',
      '00.5',
      '01',
      '+1',
      '-1',
      '1e3',
      '1,5',
      '1 000',
      ' 1',
      '0.0000001',
      'NaN',
      '10000000',
      '٣',
    ];
    for (const text of wrong) assert.ok(!schema.safeParse(text).success, text);
    for (const value of [0.1, 100, null, undefined, true, {}]) assert.ok(!schema.safeParse(value).success);
  });

  test('no string makes a fraction of what it accepts', () => {
    fc.assert(
      fc.property(
        fc.string(),
        fc.string({ unit: fc.constantFrom('0', '1', '9', '.', ',', 'e', '-') }),
        (one, other) => {
          for (const text of [one, other]) {
            if (schema.safeParse(text).success) assert.equal(Number(picoOf(text)) / 1e12, Number(text));
          }
        },
      ),
    );
  });
});
