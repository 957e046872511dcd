import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { model, problemLines, specOf } from './problem-lines.fixture.ts';

const AMOUNT = 'expected an amount as a string such as `"0.10"`, with at most six decimals';

describe('pricing', () => {
  test('is as it was written', () => {
    const pricing = {
      currency: 'EUR',
      promptPerMillion: '0.10',
      cachedPromptPerMillion: '0',
      completionPerMillion: '0.30',
    };
    assert.deepEqual(specOf('ModelDeployment', model({ pricing, forceUsage: true })).pricing, pricing);
    const others = { currency: 'USD', perRequest: '0.000001', perImage: '9000000', perAudioMinute: '0.006' };
    assert.deepEqual(specOf('ModelDeployment', model({ pricing: others })).pricing, others);
  });

  const cases: [name: string, spec: object, ...expected: string[]][] = [
    [
      'without a price',
      { pricing: { currency: 'EUR' } },
      'value spec.pricing: names no price: give at least one, or leave `pricing` out where the model is free',
    ],
    [
      'without a currency',
      { pricing: { perImage: '1' } },
      'value spec.pricing.currency: is missing: expected the three capitals of a currency, such as `EUR`',
    ],
    [
      'by numbers, which are rounded to binary',
      { pricing: { currency: 'EUR', promptPerMillion: 0.1, perImage: 2 } },
      `value spec.pricing.promptPerMillion: ${AMOUNT}, got \`0.1\`; did you mean \`"0.1"\`?`,
      `value spec.pricing.perImage: ${AMOUNT}, got \`2\`; did you mean \`"2"\`?`,
    ],
    [
      'below zero, too fine, and too much',
      { pricing: { currency: 'EUR', perRequest: '-1', perImage: '0.0000001', perAudioMinute: '9000000.1' } },
      `value spec.pricing.perRequest: ${AMOUNT}, got \`-1\``,
      `value spec.pricing.perImage: ${AMOUNT}, got \`0.0000001\``,
      'value spec.pricing.perAudioMinute: expected at most 9000000, got `9000000.1`',
    ],
    [
      'by a price that there is not',
      { pricing: { currency: 'EUR', promptPerMillion: '1', outputPerMillion: '1' } },
      'key spec.pricing.outputPerMillion: unknown field `outputPerMillion`; did you mean `promptPerMillion`?',
    ],
  ];
  for (const [name, spec, ...expected] of cases) {
    test(`is refused ${name}`, () => assert.deepEqual(problemLines(model(spec)), expected));
  }
});
