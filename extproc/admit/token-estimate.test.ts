import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { INFERENCE_ENDPOINTS } from '../request/endpoints.ts';
import { DecayedQuantile } from './decayed-quantile.ts';
import { TokenEstimates } from './token-estimate.ts';

const endpointAt = (path: string) => INFERENCE_ENDPOINTS.find(endpoint => endpoint.path === `/v1/${path}`)!;
const chat = endpointAt('chat/completions');
const unbounded = { answers: 1, maxOutputTokens: undefined };

describe('an estimate', () => {
  it('begins with four bytes a token and a long answer', () => {
    assert.deepEqual(new TokenEstimates().estimate('m', chat, 401, unbounded, 0), { input: 101, output: 1_024 });
  });

  it('believes what the client asks for, times the answers', () => {
    const estimates = new TokenEstimates();
    assert.equal(estimates.estimate('m', chat, 4, { answers: 3, maxOutputTokens: 50 }, 0).output, 150);
    assert.equal(estimates.estimate('m', chat, 4, { answers: 3, maxOutputTokens: undefined }, 0).output, 3_072);
  });

  it('knows that nothing is longer than the context', () => {
    const estimates = new TokenEstimates();
    const asked = { answers: 2, maxOutputTokens: 5_000 };
    assert.deepEqual(estimates.estimate('m', chat, 400_000, asked, 4_096), { input: 4_096, output: 8_192 });
  });

  it('knows that several texts in one request may be longer together', () => {
    const inputAt = (path: string) =>
      new TokenEstimates().estimate('m', endpointAt(path), 400_000, unbounded, 512).input;
    for (const path of ['embeddings', 'rerank', 'classify', 'completions']) assert.equal(inputAt(path), 100_000, path);
    for (const path of ['responses', 'messages']) assert.equal(inputAt(path), 512, path);
  });

  it('is safe with any wish', () => {
    const most = Number.MAX_SAFE_INTEGER;
    const wish = { answers: most, maxOutputTokens: most };
    for (const context of [0, most]) {
      assert.deepEqual(new TokenEstimates().estimate('m', chat, most, wish, context), { input: 1e9, output: 1e9 });
    }
  });

  it('of what generates no text has no output, and of sound and images no input', () => {
    const of = (path: string) => new TokenEstimates().estimate('m', endpointAt(path), 400, unbounded, 0);
    assert.deepEqual(of('embeddings'), { input: 100, output: 0 });
    assert.deepEqual(of('audio/transcriptions'), { input: 0, output: 1_024 });
    assert.deepEqual(of('audio/speech'), { input: 0, output: 0 });
    assert.deepEqual(of('images/generations'), { input: 0, output: 0 });
  });

  it('learns of each model for itself, and forgets those that are gone', () => {
    const estimates = new TokenEstimates();
    const told = { bodyBytes: 1_000, promptTokens: 500, completionTokens: 40, asked: unbounded };
    for (let i = 0; i < 500; i++) estimates.learn('m', chat, told);
    const { input, output } = estimates.estimate('m', chat, 1_000, unbounded, 0);
    assert.ok(Math.abs(input - 500) <= 5, `${input}`);
    assert.ok(output >= 40 && output <= 48, `${output}`);
    assert.equal(estimates.estimate('other', chat, 1_000, unbounded, 0).input, 250);
    estimates.keepOnly(model => model !== 'm');
    assert.equal(estimates.estimate('m', chat, 1_000, unbounded, 0).input, 250);
  });

  it('learns nothing of length from answers that were cut short by their own limit', () => {
    const estimates = new TokenEstimates();
    const told = { bodyBytes: 100, promptTokens: 25, completionTokens: 10, asked: { answers: 1, maxOutputTokens: 10 } };
    for (let i = 0; i < 500; i++) estimates.learn('m', chat, told);
    assert.equal(estimates.estimate('m', chat, 100, unbounded, 0).output, 1_024);
  });

  it('is whole and never negative, whatever was learned', () => {
    const count = fc.oneof(fc.nat(10), fc.nat(2 ** 31 - 1));
    const asked = fc.record({
      answers: fc.integer({ min: 1, max: 128 }),
      maxOutputTokens: fc.option(count, { nil: undefined }),
    });
    const told = fc.record({ bodyBytes: count, promptTokens: count, completionTokens: count, asked });
    fc.assert(
      fc.property(fc.array(told), count, asked, fc.nat(200_000), (lessons, bytes, wish, context) => {
        const estimates = new TokenEstimates();
        for (const lesson of lessons) estimates.learn('m', chat, lesson);
        const { input, output } = estimates.estimate('m', chat, bytes, wish, context);
        assert.ok(Number.isSafeInteger(input) && input >= 0 && Number.isSafeInteger(output) && output >= 0);
      }),
    );
  });
});

describe('a quantile', () => {
  it('is at least the real one, and at most a fifth above', () => {
    const values = fc.array(fc.integer({ min: 1, max: 1_000_000 }), { minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(values, seen => {
        const quantile = new DecayedQuantile(1);
        // Often enough that the first belief and the order weigh nothing.
        for (let i = 0; i < 3_000; i++) quantile.observe(seen[i % seen.length] ?? 1);
        const found = quantile.quantile(0.95);
        const atMost = seen.filter(value => value <= found).length / seen.length;
        assert.ok(atMost >= 0.9, `${found}`);
        assert.ok(
          seen.some(value => found >= value && found <= value * 1.2),
          `${found}`,
        );
      }),
      { numRuns: 100 },
    );
  });

  it('follows what is new', () => {
    const quantile = new DecayedQuantile(1_024);
    for (let i = 0; i < 10_000; i++) quantile.observe(8_000);
    for (let i = 0; i < 1_000; i++) quantile.observe(100);
    assert.ok(quantile.quantile(0.95) < 120);
  });
});
