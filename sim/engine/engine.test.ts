import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { Engine, type EngineConfig, type Sequence } from './engine.ts';
import { BLOCK_TOKENS } from './kv-cache.ts';

const UNIT = { a: 1, b: 0, c: 0, d: 0, e: 0 };

function engine(config: Partial<EngineConfig> = {}): Engine {
  return new Engine({ coefficients: UNIT, kvTokens: 16_000, maxSequences: 256, tokenBudget: 8192, ...config });
}

/** One step; the sequences that got a token, in order. */
function step(subject: Engine): { durationMs: number; emitted: Sequence[] } | undefined {
  const begun = subject.beginStep();
  return begun && { durationMs: begun.durationMs, emitted: subject.endStep().map(({ sequence }) => sequence) };
}

/** Steps until nothing is left; the virtual time that took, and what each sequence got. */
function run(subject: Engine, onStep: () => void = () => {}) {
  const tokens = new Map<Sequence, number>();
  const finished: Sequence[] = [];
  let timeMs = 0;
  for (let begun = subject.beginStep(); begun; begun = subject.beginStep()) {
    timeMs += begun.durationMs;
    onStep();
    for (const emission of subject.endStep()) {
      tokens.set(emission.sequence, (tokens.get(emission.sequence) ?? 0) + emission.tokens);
      if (emission.finished) finished.push(emission.sequence);
    }
  }
  return { timeMs, tokens, finished };
}

describe('a step takes what the formula says', () => {
  const coefficients = { a: 7, b: 0.05, c: 0.06, d: 0.03, e: 1.2 };

  test('prefill, then decode, alone', () => {
    const subject = engine({ coefficients });
    subject.add(1000, 3);
    const prefill = 7 + 0.05 + 0.03 * 1000 + (1.2 * 1000 * 500) / 1e6;
    assert.equal(step(subject)?.durationMs.toFixed(9), prefill.toFixed(9));
    // The first new token's KV is computed in the step that makes the second: 1000 tokens of context are read.
    assert.equal(step(subject)?.durationMs.toFixed(9), (7 + 0.05 + 0.06).toFixed(9));
    assert.equal(step(subject)?.durationMs.toFixed(9), (7 + 0.05 + 0.06 * 1.001).toFixed(9));
    assert.equal(step(subject), undefined);
  });

  test('every further sequence in the batch slows all of them', () => {
    const decodeMs = (sequences: number) => {
      const subject = engine({ coefficients });
      for (let count = 0; count < sequences; count++) subject.add(100, 10);
      step(subject);
      return step(subject)?.durationMs ?? 0;
    };
    for (const sequences of [1, 2, 8, 64]) {
      const expected = 7 + 0.05 * sequences + 0.06 * 0.1 * sequences;
      assert.equal(decodeMs(sequences).toFixed(9), expected.toFixed(9));
    }
  });

  test('a prompt that arrives delays those that decode', () => {
    const subject = engine({ coefficients });
    subject.add(10, 10);
    step(subject);
    subject.add(2000, 1);
    const both = 7 + 0.05 * 2 + 0.06 * 0.01 + 0.03 * 2000 + (1.2 * 2000 * 1000) / 1e6;
    assert.equal(step(subject)?.durationMs.toFixed(9), both.toFixed(9));
  });
});

describe('scheduling', () => {
  test('a prompt over the budget is read in chunks and speaks after the last', () => {
    const subject = engine({ tokenBudget: 100 });
    const long = subject.add(250, 2);
    assert.deepEqual(step(subject)?.emitted, []);
    assert.deepEqual(step(subject)?.emitted, []);
    assert.deepEqual(step(subject)?.emitted, [long]);
    assert.equal(long.generated, 1);
  });

  test('decodes come before prompts within the budget', () => {
    const subject = engine({ tokenBudget: 10 });
    const first = subject.add(10, 5);
    step(subject);
    const second = subject.add(10, 5);
    assert.deepEqual(step(subject)?.emitted, [first], 'nine tokens of the second prompt fit beside the decode');
    assert.deepEqual(step(subject)?.emitted, [first, second]);
  });

  test('no more than maxSequences run; the rest wait in order', () => {
    const subject = engine({ maxSequences: 2 });
    const [one, two, three, four] = [1, 2, 1, 1].map(outputTokens => subject.add(10, outputTokens));
    assert.deepEqual(step(subject)?.emitted, [one, two]);
    assert.equal(subject.waiting, 2);
    assert.deepEqual(step(subject)?.emitted, [two, three]);
    assert.deepEqual(step(subject)?.emitted, [four]);
  });

  test('a large one at the head of the queue is not overtaken by a small one that would fit', () => {
    const subject = engine({ kvTokens: 10 * BLOCK_TOKENS });
    const runner = subject.add(6 * BLOCK_TOKENS, 2);
    step(subject);
    const large = subject.add(5 * BLOCK_TOKENS, 1);
    const small = subject.add(1, 1);
    assert.deepEqual(step(subject)?.emitted, [runner]);
    assert.deepEqual(step(subject)?.emitted, [large, small]);
  });

  test('when KV runs out the youngest runner gives way, is read again and loses no token', () => {
    const subject = engine({ kvTokens: 4 * BLOCK_TOKENS });
    const old = subject.add(2 * BLOCK_TOKENS, 20);
    const young = subject.add(2 * BLOCK_TOKENS, 20);
    assert.deepEqual(step(subject)?.emitted, [old, young]);
    assert.deepEqual(step(subject)?.emitted, [old], 'its token needs a block more');
    assert.equal(young.state, 'waiting');
    assert.equal(subject.preemptions, 1);
    const { tokens, finished } = run(subject);
    assert.deepEqual(finished, [old, young]);
    assert.equal(tokens.get(young), 19);
    assert.equal(young.generated, 20);
  });

  test('the step that preempts admits nobody, though there is room for a chunk', () => {
    const subject = engine({ kvTokens: 4 * BLOCK_TOKENS, tokenBudget: BLOCK_TOKENS });
    subject.add(2 * BLOCK_TOKENS, 20);
    const young = subject.add(BLOCK_TOKENS, 20);
    while (subject.preemptions === 0) {
      assert.ok(subject.beginStep());
      if (subject.preemptions === 0) subject.endStep();
    }
    assert.equal(young.state, 'waiting');
    assert.ok(subject.kvBlocks.used < subject.kvBlocks.total);
  });

  test('a preempted one goes before those that have waited all the time', () => {
    const subject = engine({ kvTokens: 4 * BLOCK_TOKENS });
    subject.add(2 * BLOCK_TOKENS, 20);
    const young = subject.add(2 * BLOCK_TOKENS, 20);
    const waiter = subject.add(2 * BLOCK_TOKENS, 1);
    const { finished } = run(subject);
    assert.ok(finished.indexOf(young) < finished.indexOf(waiter));
  });

  test('a prompt that wants no output ends when it is read', () => {
    const subject = engine();
    subject.add(100, 0);
    subject.beginStep();
    assert.deepEqual(
      subject.endStep().map(({ tokens, finished }) => ({ tokens, finished })),
      [{ tokens: 0, finished: true }],
    );
    assert.equal(subject.kvBlocks.used, 0);
  });

  test('aborting frees the KV at once, also in the middle of a step, and twice is once', () => {
    const subject = engine();
    const sequence = subject.add(100, 10);
    subject.beginStep();
    assert.equal(subject.kvBlocks.used, Math.ceil(100 / BLOCK_TOKENS));
    subject.abort(sequence);
    subject.abort(sequence);
    assert.equal(subject.kvBlocks.used, 0);
    assert.deepEqual(subject.endStep(), []);
    assert.equal(subject.beginStep(), undefined);
    assert.equal(sequence.state, 'aborted');
  });

  test('what could never fit is refused', () => {
    const subject = engine({ kvTokens: 160 });
    assert.equal(subject.maxSequenceTokens, 160);
    assert.throws(() => subject.add(150, 11), RangeError);
    subject.add(150, 10);
    assert.equal(run(subject).finished.length, 1);
  });
});

const request = fc.record({
  promptTokens: fc.integer({ min: 1, max: 300 }),
  outputTokens: fc.integer({ min: 0, max: 60 }),
  /** Arrives before this step. */
  atStep: fc.nat({ max: 40 }),
  /** Is aborted before this step. */
  abortAtStep: fc.option(fc.nat({ max: 80 }), { nil: undefined }),
});
const limits = fc.record({
  kvTokens: fc.integer({ min: 360 + BLOCK_TOKENS, max: 2000 }),
  maxSequences: fc.integer({ min: 1, max: 20 }),
  tokenBudget: fc.integer({ min: 1, max: 400 }),
});
type Scenario = { requests: readonly (typeof request extends fc.Arbitrary<infer R> ? R : never)[] };

/** Plays a scenario to its end; everything observable, step by step. */
function play(config: Partial<EngineConfig>, { requests }: Scenario) {
  const subject = engine({ coefficients: { a: 7, b: 0.05, c: 0.06, d: 0.03, e: 1.2 }, ...config });
  const sequences: (Sequence | undefined)[] = requests.map(() => undefined);
  const received = new Map<Sequence, number>();
  const firstTokens: number[] = [];
  const log: unknown[] = [];
  for (let index = 0; index <= 40 || subject.running + subject.waiting > 0; index++) {
    assert.ok(index < 100_000, 'it never ends');
    for (const [place, { promptTokens, outputTokens, atStep, abortAtStep }] of requests.entries()) {
      if (atStep === index) sequences[place] = subject.add(promptTokens, outputTokens);
      const sequence = sequences[place];
      if (abortAtStep === index && sequence) subject.abort(sequence);
    }
    const begun = subject.beginStep();
    log.push(begun?.durationMs, subject.running, subject.waiting, subject.kvBlocks.used);
    assert.ok(subject.kvBlocks.used <= subject.kvBlocks.total);
    assert.ok(subject.running <= subject.config.maxSequences);
    if (!begun) {
      assert.equal(subject.running + subject.waiting, 0, 'idle with work left');
      continue;
    }
    for (const { sequence, tokens } of subject.endStep()) {
      if (!received.has(sequence)) firstTokens.push(sequences.indexOf(sequence));
      received.set(sequence, (received.get(sequence) ?? 0) + tokens);
    }
  }
  return { subject, sequences, received, firstTokens, log };
}

describe('whatever arrives and goes', () => {
  const scenario = fc.record({ requests: fc.array(request, { minLength: 1, maxLength: 25 }) });

  test('nobody gets a token too many or too few, limits hold, and nothing is left behind', () => {
    fc.assert(
      fc.property(limits, scenario, (config, played) => {
        const { subject, sequences, received } = play(config, played);
        assert.equal(subject.kvBlocks.used, 0);
        for (const [index, sequence] of sequences.entries()) {
          const asked = played.requests[index];
          if (!sequence || !asked) continue;
          const tokens = received.get(sequence) ?? 0;
          assert.equal(tokens, sequence.generated);
          if (sequence.state === 'finished') assert.equal(tokens, asked.outputTokens);
          else assert.ok(asked.abortAtStep !== undefined && tokens <= asked.outputTokens);
        }
      }),
    );
  });

  test('the same requests give the same steps', () => {
    fc.assert(
      fc.property(limits, scenario, (config, played) => {
        assert.deepEqual(play(config, played).log, play(config, played).log);
      }),
      { numRuns: 30 },
    );
  });

  test('where nobody is preempted, first come is first served', () => {
    const together = fc.array(
      request.map(one => ({ ...one, atStep: 0, abortAtStep: undefined })),
      { minLength: 2, maxLength: 20 },
    );
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 20 }),
        fc.integer({ min: 1, max: 400 }),
        together,
        (seqs, budget, requests) => {
          const config = { kvTokens: 20 * 400, maxSequences: seqs, tokenBudget: budget };
          const { subject, firstTokens } = play(config, { requests });
          assert.equal(subject.preemptions, 0);
          assert.deepEqual(
            firstTokens,
            requests.map((_, index) => index),
          );
        },
      ),
    );
  });
});
