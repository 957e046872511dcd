import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { recorded, recordedExchanges } from './envoy-records.fixture.ts';
import { tokensBySize } from './estimate.ts';
import { chargeOf, type Forecast, settlementOf, settlementWithoutRecord } from './settlement.ts';

const chat: Forecast = { promptTokens: 100, outputTokens: 256, stream: false };
const streamed: Forecast = { ...chat, stream: true };
const embeddings: Forecast = { promptTokens: 100, outputTokens: 0, stream: false };
const { end: answered } = recorded('answered');

describe('a settlement', () => {
  it('takes the tokens that the answer told', () => {
    assert.deepEqual(settlementOf(answered, chat), {
      tokens: { prompt: 11, cachedPrompt: 0, completion: 7 },
      kind: 'usage',
    });
  });

  it('of an embedding has the prompt only', () => {
    const usage = {
      status: 'complete',
      promptTokens: 40,
      cachedPromptTokens: undefined,
      completionTokens: undefined,
    } as const;
    assert.deepEqual(settlementOf({ ...answered, usage }, embeddings), {
      tokens: { prompt: 40, cachedPrompt: 0, completion: 0 },
      kind: 'usage',
    });
  });

  it('tells what of the prompt was cached, which is never more than the prompt', () => {
    const usage = { status: 'complete', promptTokens: 40, cachedPromptTokens: 32, completionTokens: 1 } as const;
    const settled = (cachedPromptTokens: number) =>
      settlementOf({ ...answered, usage: { ...usage, cachedPromptTokens } }, chat).tokens;
    assert.deepEqual(settled(32), { prompt: 40, cachedPrompt: 32, completion: 1 });
    assert.deepEqual(settled(41), { prompt: 40, cachedPrompt: 40, completion: 1 });
  });

  it('estimates where the answer told nothing', () => {
    const record = { ...answered, usage: undefined, responseBytes: 22_000 };
    assert.deepEqual(settlementOf(record, streamed), {
      tokens: { prompt: 100, cachedPrompt: 0, completion: 100 },
      kind: 'estimate',
    });
  });

  it('believes of usage that was not read to its end what is more than the estimate', () => {
    const usage = {
      status: 'partial',
      promptTokens: 3_000,
      cachedPromptTokens: undefined,
      completionTokens: 50,
    } as const;
    const record = { ...answered, usage, responseBytes: 22_000 };
    assert.deepEqual(settlementOf(record, streamed).tokens, { prompt: 3_000, cachedPrompt: 0, completion: 100 });
    assert.deepEqual(settlementOf({ ...record, responseBytes: 220 }, streamed).tokens, {
      prompt: 3_000,
      cachedPrompt: 0,
      completion: 50,
    });
    assert.equal(settlementOf(record, streamed).kind, 'estimate');
  });

  for (const name of ['reset', '400', '503, then 503', 'no such endpoint', 'client gone before headers']) {
    it(`finds nothing to settle: ${name}`, () => {
      const settlement = settlementOf(recorded(name).end, chat);
      assert.deepEqual(settlement, { tokens: { prompt: 0, cachedPrompt: 0, completion: 0 }, kind: 'nothing' });
    });
  }

  it('without a record takes the forecast', () => {
    assert.deepEqual(settlementWithoutRecord(chat), {
      tokens: { prompt: 100, cachedPrompt: 0, completion: 256 },
      kind: 'no_record',
    });
  });
});

describe('a charge', () => {
  const charge = (name: string, forecast = chat) => {
    const { end } = recorded(name);
    return chargeOf(end, forecast, settlementOf(end, forecast));
  };
  const abandoned = ['client gone before headers', '503, then client gone before headers'];

  for (const name of abandoned) {
    it(`has the prompt, by estimate: ${name}`, () => {
      for (const forecast of [chat, streamed, embeddings]) {
        assert.deepEqual(charge(name, forecast), {
          tokens: { prompt: 100, cachedPrompt: 0, completion: 0 },
          kind: 'estimate',
        });
      }
    });
  }

  it('is for what was taken, however else an exchange ends', () => {
    for (const name of recordedExchanges.filter(name => !abandoned.includes(name))) {
      assert.deepEqual(charge(name), settlementOf(recorded(name).end, chat), name);
    }
  });

  it('is for nothing where the client goes away before any endpoint has the request', () => {
    const record = { ...recorded('client gone before headers').end, upstream: '' };
    assert.equal(chargeOf(record, chat, settlementOf(record, chat)).kind, 'nothing');
  });
});

describe('tokens by size', () => {
  const evidence = { ...chat, status: 200 };

  it('are never negative, whole, and no fewer for a longer answer', () => {
    const bytes = fc.nat({ max: 100_000_000 });
    fc.assert(
      fc.property(bytes, bytes, fc.boolean(), (a, b, stream) => {
        const [short, long] = a < b ? [a, b] : [b, a];
        const few = tokensBySize({ ...evidence, stream, responseBytes: short }).completion;
        const many = tokensBySize({ ...evidence, stream, responseBytes: long }).completion;
        assert.ok(0 <= few && few <= many && Number.isInteger(few) && Number.isInteger(many));
      }),
    );
  });

  it('are within a factor of two of what vLLM streams for 100 tokens', () => {
    const chunk = {
      id: `chatcmpl-${'0'.repeat(32)}`,
      object: 'chat.completion.chunk',
      created: 1_770_000_000,
      model: 'meta-llama/Llama-3.1-8B-Instruct',
      choices: [{ index: 0, delta: { content: ' word' }, logprobs: null, finish_reason: null }],
    };
    const responseBytes = 100 * `data: ${JSON.stringify(chunk)}\n\n`.length;
    const { completion } = tokensBySize({ ...evidence, stream: true, responseBytes });
    assert.ok(completion > 50 && completion < 200, `${completion}`);
  });

  it('are within a factor of two of 300 words in one JSON answer', () => {
    const message = { role: 'assistant', content: 'word '.repeat(300) };
    const body = { id: 'chatcmpl-0', object: 'chat.completion', model: 'm', choices: [{ index: 0, message }] };
    const { completion } = tokensBySize({ ...evidence, responseBytes: JSON.stringify(body).length });
    assert.ok(completion > 150 && completion < 600, `${completion}`);
  });

  it('of an endpoint that generates nothing are those of the prompt', () => {
    const tokens = tokensBySize({ ...evidence, outputTokens: 0, responseBytes: 20_000_000 });
    assert.deepEqual(tokens, { prompt: 100, cachedPrompt: 0, completion: 0 });
  });
});
