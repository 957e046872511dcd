import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { consumer, gateway, model, problemLines, specOf } from './problem-lines.fixture.ts';

const PERIODS = 'expected one of `second`, `minute`, `hour`, `day` or `month`';

function limitOf(limit: object) {
  return specOf('Consumer', consumer({ limits: [limit] })).limits[0];
}

describe('a limit', () => {
  const everywhere = { models: [], endpoints: [], each: [], shadow: false };

  test('has one form, however it was written', () => {
    assert.deepEqual(limitOf({ requests: 100, per: 'minute' }), {
      unit: 'requests',
      amount: 100,
      periodSeconds: 60,
      ...everywhere,
    });
    assert.deepEqual(limitOf({ concurrency: 0 }), { unit: 'concurrency', amount: 0, periodSeconds: 0, ...everywhere });
    assert.deepEqual(
      limitOf({
        outputTokens: 5,
        per: 'month',
        model: 'org/*',
        endpoint: 'chat',
        each: ['user', 'consumer'],
        shadow: true,
      }),
      {
        unit: 'outputTokens',
        amount: 5,
        periodSeconds: 30 * 24 * 3_600,
        models: ['org/*'],
        endpoints: ['chat/completions'],
        each: ['consumer', 'user'],
        shadow: true,
      },
    );
  });

  test('is about endpoints by any of their names, each once', () => {
    const endpoints = ['embedding', 'embeddings', 'rerank', 'speech', 'audio/transcriptions', 'messages'];
    assert.deepEqual(limitOf({ tokens: 1, per: 'day', endpoints })?.endpoints, [
      'embeddings',
      'rerank',
      'audio/speech',
      'audio/transcriptions',
      'messages',
    ]);
  });

  test('stands wherever something may be limited', () => {
    const limits = [{ requests: 1, per: 'second', each: ['consumer'] }];
    const expected = [{ unit: 'requests', amount: 1, periodSeconds: 1, ...everywhere, each: ['consumer'] }];
    const { limits: all, anonymous } = specOf(
      'InferenceGateway',
      gateway({ limits: { rules: limits }, anonymous: { limits } }),
    );
    assert.deepEqual(all.rules, expected);
    assert.deepEqual(anonymous?.limits, expected);
    assert.deepEqual(specOf('ModelDeployment', model({ limits })).limits, expected);
  });

  test('may be tried as a shadow beside the same that is none', () => {
    const limits = [
      { requests: 100, per: 'day' },
      { requests: 50, per: 'day', shadow: true },
    ];
    assert.deepEqual(problemLines(consumer({ limits })), []);
  });

  const wrong: [name: string, limit: object, ...expected: string[]][] = [
    [
      'of nothing',
      { per: 'minute' },
      'value spec.limits[0]: limits nothing: expected one of `requests`, `tokens`, `inputTokens`, `outputTokens` or `concurrency`',
    ],
    [
      'of two units',
      { requests: 1, tokens: 2, per: 'minute' },
      'value spec.limits[0].tokens: `requests` is limited here already: make `tokens` a limit of its own',
    ],
    ['without a period', { requests: 1 }, `value spec.limits[0]: needs \`per\`: ${PERIODS}`],
    [
      'of what runs at the same time, with a period',
      { concurrency: 1, per: 'hour' },
      'value spec.limits[0].per: `concurrency` counts what runs at the same time: leave `per` out',
    ],
    ['by the week', { requests: 1, per: 'week' }, `value spec.limits[0].per: ${PERIODS}, got \`week\``],
    ['below zero', { requests: -1, per: 'hour' }, 'value spec.limits[0].requests: expected at least 0, got `-1`'],
    ['of a fraction', { tokens: 1.5, per: 'hour' }, 'value spec.limits[0].tokens: expected a whole number, got `1.5`'],
    [
      'that is not exact where it is counted',
      { tokens: 2 ** 53, per: 'hour' },
      'value spec.limits[0].tokens: expected at most 9007199254740991, got `9007199254740992`',
    ],
    ['in quotes', { tokens: '5', per: 'hour' }, 'value spec.limits[0].tokens: expected a number, got `5` in quotes'],
    [
      'of an endpoint that there is not',
      { requests: 1, per: 'day', endpoint: 'embeding' },
      'value spec.limits[0].endpoint: expected one of `chat/completions`, `completions`, `responses`, `messages`, `embeddings`, `rerank`, `classify`, `audio/transcriptions`, `audio/translations`, `audio/speech`, `images/generations`, `chat`, `completion`, `embedding`, `transcriptions`, `translations`, `speech` or `images`, got `embeding`; did you mean `embedding`?',
    ],
    [
      'for one and for several',
      { requests: 1, per: 'day', model: 'a', models: ['b'], endpoint: 'chat', endpoints: ['rerank'] },
      'value spec.limits[0].model: put it into `models`, which is there, too',
      'value spec.limits[0].endpoint: put it into `endpoints`, which is there, too',
    ],
    [
      'for each of what nobody knows',
      { requests: 1, per: 'day', each: ['team'] },
      'value spec.limits[0].each[0]: expected one of `consumer`, `user`, `model` or `endpoint`, got `team`',
    ],
    ...(
      [
        ['a**', 'a*'],
        ['a?', undefined],
        ['[ab]', undefined],
        ['{a,b}', undefined],
      ] as const
    ).map(([pattern, meant]): [string, object, string] => [
      `by the pattern ${pattern}`,
      { requests: 1, per: 'day', model: pattern },
      `value spec.limits[0].model: expected an id, an alias or a pattern whose only wildcard is \`*\`, which is any characters, \`/\` too, got \`${pattern}\`${meant ? `; did you mean \`${meant}\`?` : ''}`,
    ]),
    [
      'of no model at all',
      { requests: 1, per: 'day', models: [] },
      'value spec.limits[0].models: expected at least 1 of them, got 0',
    ],
    [
      'misspelt, without a complaint that it limits nothing',
      { reqests: 1, per: 'day' },
      'key spec.limits[0].reqests: unknown field `reqests`; did you mean `requests`?',
    ],
  ];
  for (const [name, limit, ...expected] of wrong) {
    test(`is refused ${name}`, () => assert.deepEqual(problemLines(consumer({ limits: [limit] })), expected));
  }

  test('is refused when another counts the same, in whatever order', () => {
    const limits = [
      { requests: 1, per: 'day' },
      { requests: 1, per: 'day', models: ['a', 'b'] },
      { requests: 2, per: 'day', models: ['b', 'a'] },
    ];
    assert.deepEqual(problemLines(consumer({ limits })), [
      'value spec.limits[2]: counts the same as limit 2 of this list: keep the one that is meant',
    ]);
  });

  test('of a ModelDeployment is not about other models', () => {
    const limits = [
      { requests: 1, per: 'day', model: 'x' },
      { requests: 1, per: 'hour', models: ['x'] },
    ];
    const expected = ['model', 'models'].map(
      (field, index) =>
        `value spec.limits[${index}].${field}: a limit of a ModelDeployment is about that model: leave \`${field}\` out`,
    );
    assert.deepEqual(problemLines(model({ limits })), expected);
  });

  test('is one of 32 at most', () => {
    const limits = Array.from({ length: 33 }, (_, index) => ({ requests: 1, per: 'day', model: `m${index}` }));
    assert.deepEqual(problemLines(consumer({ limits })), ['value spec.limits: expected at most 32 of them, got 33']);
  });
});
