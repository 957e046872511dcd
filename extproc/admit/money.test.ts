import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { create } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { PricingSchema } from '../../proto/gen/fairlead/v1/table_pb.js';
import { moneyText, priceOf } from './money.ts';

const NONE = { prompt: 0, cachedPrompt: 0, completion: 0, images: 0, audioSeconds: 0 };
/** 0.10 a million of prompt tokens, 0.05 of cached ones, 0.30 of completion. */
const llama = create(PricingSchema, { promptToken: 100_000n, cachedPromptToken: 50_000n, completionToken: 300_000n });

describe('a price', () => {
  it('is exact, and rounded up at the end', () => {
    assert.equal(priceOf(llama, { ...NONE, prompt: 1_000_000 }), 100_000_000);
    assert.equal(priceOf(llama, { ...NONE, prompt: 11, completion: 7 }), 3_200);
    assert.equal(priceOf(llama, { ...NONE, prompt: 10, cachedPrompt: 10 }), 500);
    const cheap = create(PricingSchema, { promptToken: 1n, audioMinute: 1n });
    assert.equal(priceOf(cheap, { ...NONE, prompt: 1 }), 1);
    assert.equal(priceOf(cheap, { ...NONE, prompt: 1_001 }), 2);
    assert.equal(priceOf(cheap, { ...NONE, audioSeconds: 1 }), 1);
    assert.equal(priceOf(cheap, NONE), 0);
  });

  it('of cached tokens is that of any, where none is set', () => {
    const plain = create(PricingSchema, { promptToken: 2_000n });
    assert.equal(priceOf(plain, { ...NONE, prompt: 10, cachedPrompt: 4 }), 20);
  });

  it('of requests, images and minutes adds up', () => {
    const pricing = create(PricingSchema, { request: 1_000_000n, image: 40_000_000n, audioMinute: 6_000_000n });
    assert.equal(priceOf(pricing, { ...NONE, images: 2, audioSeconds: 90 }), 1_000 + 80_000 + 9_000);
  });

  it('is what integers of any size say, and at most what a number holds', () => {
    const price = fc.bigInt({ min: 0n, max: 2n ** 62n }).chain(most => fc.bigInt({ min: 0n, max: most }));
    const prices = fc.record({
      promptToken: price,
      cachedPromptToken: fc.option(price, { nil: undefined }),
      completionToken: price,
      request: price,
      image: price,
      audioMinute: price,
    });
    const count = fc.oneof(fc.nat(1_000), fc.nat(2 ** 31 - 1));
    const counts = fc.record({ prompt: count, completion: count, images: fc.nat(10), audioSeconds: fc.nat(100_000) });
    fc.assert(
      fc.property(prices, counts, fc.double({ min: 0, max: 1, noNaN: true }), (of, some, share) => {
        const cachedPrompt = Math.floor(some.prompt * share);
        const { cachedPromptToken = of.promptToken, ...rest } = of;
        const pico =
          rest.promptToken * BigInt(some.prompt - cachedPrompt) +
          cachedPromptToken * BigInt(cachedPrompt) +
          rest.completionToken * BigInt(some.completion) +
          rest.request +
          rest.image * BigInt(some.images) +
          (rest.audioMinute * BigInt(some.audioSeconds) + 59n) / 60n;
        const nano = (pico + 999n) / 1_000n;
        const most = BigInt(Number.MAX_SAFE_INTEGER);
        const pricing = create(PricingSchema, { ...rest, cachedPromptToken });
        assert.equal(priceOf(pricing, { ...some, cachedPrompt }), Number(nano < most ? nano : most));
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('money in words', () => {
  const cases: [nano: number, expected: string][] = [
    [0, '0.00'],
    [1, '0.000000001'],
    [1_500_000_000, '1.50'],
    [100_000_000_000, '100.00'],
    [9_007_199_254_740_991, '9007199.254740991'],
    [-20_000_000, '-0.02'],
  ];
  for (const [nano, expected] of cases) it(`${nano} is ${expected}`, () => assert.equal(moneyText(nano), expected));
});
