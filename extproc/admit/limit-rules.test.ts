import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { create } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { type Limit, LimitEach, LimitSchema, type LimitUnit } from '../../proto/gen/fairlead/v1/table_pb.js';
import { anonymous } from '../identity/caller.ts';
import { compileRules, counterOf } from './limit-rules.ts';
import { consumer, endpointAt, limit, model, request } from './sample-request.fixture.ts';

const ruleOf = (config: Limit, scope: 'consumer' | 'model' = 'consumer') =>
  compileRules(scope, 'ml/a', 'a', [config])[0]!;

describe('a rule is told as', () => {
  const told: [config: Limit, expected: string][] = [
    [limit('requests', 100), '100 requests per minute for a'],
    [limit('tokens', 200_000, { periodSeconds: 86_400 }), '200,000 tokens per day for a'],
    [limit('outputTokens', 5, { periodSeconds: 90 }), '5 output tokens per 90 s for a'],
    [limit('concurrency', 8, { each: [LimitEach.USER] }), '8 requests at once for each user of a'],
    [
      limit('inputTokens', 1, { models: ['llama', 'x/*'], endpoints: ['embeddings'], periodSeconds: 2_592_000 }),
      '1 input token per month for a, on llama, x/*, at embeddings',
    ],
  ];
  for (const [config, expected] of told) it(expected, () => assert.equal(ruleOf(config).text, expected));

  it('over all callers, by what it is over', () => {
    const texts = (['model', 'anonymous', 'gateway'] as const).map(
      scope => compileRules(scope, 'ml/a', 'a', [limit('requests', 1)])[0]?.text,
    );
    assert.deepEqual(texts, [
      '1 request per minute for the model a',
      '1 request per minute for callers without a name',
      '1 request per minute for the gateway',
    ]);
  });
});

describe('a rule holds for', () => {
  const chat = endpointAt('chat/completions');
  const embeddings = endpointAt('embeddings');

  it('every model and endpoint, where it names none', () => {
    assert.ok(ruleOf(limit('requests', 1)).holdsFor(model('x').model, chat));
  });

  it('the models and endpoints that it names', () => {
    const { holdsFor } = ruleOf(limit('requests', 1, { models: ['ll*', 'turbo'], endpoints: ['chat/completions'] }));
    assert.ok(holdsFor(model('llama').model, chat));
    assert.ok(holdsFor(model('gpt', { aliases: ['turbo'] }).model, chat));
    assert.ok(!holdsFor(model('gpt').model, chat));
    assert.ok(!holdsFor(model('llama').model, embeddings));
  });

  it('answers only where there are tokens in them, if these are counted', () => {
    assert.ok(!ruleOf(limit('outputTokens', 1)).holdsFor(model('x').model, embeddings));
    assert.ok(ruleOf(limit('tokens', 1)).holdsFor(model('x').model, embeddings));
  });

  it('nothing, where its unit is not known', () => {
    const config = create(LimitSchema, { unit: 99 as LimitUnit, amount: 1n });
    assert.deepEqual(compileRules('consumer', 'ml/a', 'a', [config]), []);
  });
});

describe('the key of a counter', () => {
  const keys = (...limits: Limit[]) => compileRules('consumer', 'ml/a', 'a', limits).map(({ counter }) => counter.key);

  it('stays when the amount changes', () => {
    assert.deepEqual(keys(limit('requests', 1)), keys(limit('requests', 2)));
  });

  it('does not depend on the order of names', () => {
    assert.deepEqual(
      keys(limit('requests', 1, { models: ['x', 'y'] })),
      keys(limit('requests', 1, { models: ['y', 'x'] })),
    );
  });

  it('is of one limit alone, and of one value of what is counted each for itself', () => {
    const name = fc.oneof(fc.constantFrom('x', 'y', 'x,y', 'x|2', '*', ''), fc.string({ unit: 'binary' }));
    const some = fc.record({
      unit: fc.constantFrom('requests' as const, 'tokens' as const, 'concurrency' as const),
      amount: fc.nat(3),
      periodSeconds: fc.constantFrom(60, 3_600),
      models: fc.array(name, { maxLength: 2 }),
      each: fc.subarray([LimitEach.CONSUMER, LimitEach.USER, LimitEach.MODEL, LimitEach.ENDPOINT]),
      shadow: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(some, { maxLength: 8 }), name, name, (limits, user, other) => {
        const configs = limits.map(({ unit, amount, ...more }) => limit(unit, amount, more));
        const rules = [
          ...compileRules('consumer', 'ml/a', 'a', configs),
          ...compileRules('consumer', 'ml/b', 'b', configs),
          ...compileRules('gateway', '', '', configs),
        ];
        const keysOf = (name: string) =>
          rules.map(rule => counterOf(rule, request({ caller: consumer('a', {}, name) })).key);
        const [ofUser, ofOther] = [keysOf(user), keysOf(other)];
        assert.equal(new Set(ofUser).size, rules.length);
        for (const [i, { each }] of rules.entries()) {
          assert.equal(ofUser[i] === ofOther[i], user === other || !each.includes(LimitEach.USER));
        }
      }),
    );
  });

  it('is of a user within its consumer, in limits over all consumers too', () => {
    for (const scope of ['consumer', 'model', 'gateway'] as const) {
      const rule = compileRules(scope, '', '', [limit('requests', 1, { each: [LimitEach.USER] })])[0]!;
      const callers = [consumer('a', {}, 'bob'), consumer('b', {}, 'bob'), consumer('a', {}, 'ann'), anonymous('bob')];
      const keys = callers.map(caller => counterOf(rule, request({ caller })).key);
      assert.equal(new Set(keys).size, callers.length);
    }
  });

  it('is short and plain, whatever a user calls himself', () => {
    const rule = ruleOf(limit('requests', 1, { each: [LimitEach.USER] }));
    const key = counterOf(rule, request({ caller: anonymous(`é|\n${'x'.repeat(300)}`) })).key;
    assert.match(key, /^[ -~]{1,120}$/);
  });
});
