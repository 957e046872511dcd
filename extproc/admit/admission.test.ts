import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import { create } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { isRefusal, type Refusal } from '../../errors/refusal.ts';
import {
  BudgetPeriod,
  BudgetSchema,
  GatewaySchema,
  type Limit,
  LimitEach,
  PricingSchema,
} from '../../proto/gen/fairlead/v1/table_pb.js';
import { anonymous } from '../identity/caller.ts';
import { Admission, type AdmissionOutcome, type AdmissionRequest } from './admission.ts';
import { consultedLimits, FREE_GRANT, type Grant, toldOf } from './grant.ts';
import type { Charge, LimitStore, Verdict } from './limit-store.ts';
import { MemoryStore } from './memory-store.ts';
import { consumer, endpointAt, limit, model, request } from './sample-request.fixture.ts';
import type { UsageReport } from './usage-report.ts';

const START_MS = Date.parse('2026-05-15T12:00:00Z');
const ANSWERED: AdmissionOutcome = {
  promptTokens: 90,
  cachedPromptTokens: 0,
  completionTokens: 20,
  estimated: false,
  produced: true,
};
const FAILED: AdmissionOutcome = { ...ANSWERED, promptTokens: 0, completionTokens: 0, produced: false };

let failures: unknown[] = [];
let nowMs = START_MS;
let store: LimitStore;
let admission: Admission;

beforeEach(() => {
  nowMs = START_MS;
  failures = [];
  store = new MemoryStore({ nowMs: () => nowMs, agents: () => 1 });
  admission = admissionOver(() => store);
});

function admissionOver(store: () => LimitStore): Admission {
  let ids = 0;
  return new Admission({ store, nowMs: () => nowMs, nextId: () => `r${ids++}`, failed: error => failures.push(error) });
}

function answer(config: Partial<AdmissionRequest>): Grant | Refusal {
  const answer = admission.admit(request(config));
  assert.ok(!(answer instanceof Promise));
  return answer;
}

function admit(config: Partial<AdmissionRequest>): Grant {
  const grant = answer(config);
  assert.ok(!isRefusal(grant), isRefusal(grant) ? grant.message : '');
  return grant;
}

function refusal(config: Partial<AdmissionRequest>): Refusal {
  const refusal = answer(config);
  assert.ok(isRefusal(refusal));
  return refusal;
}

const team = (...limits: Limit[]) => ({ caller: consumer('team-a', { limits }) });
const used = (grant: Grant) => consultedLimits(grant).map(({ used }) => used);

describe('a request that no limit holds for', () => {
  it('passes without asking the store', () => {
    assert.equal(answer({}), FREE_GRANT);
    assert.equal(admission.settle(FREE_GRANT, ANSWERED), undefined);
    assert.deepEqual(toldOf(admit(team(limit('requests', 1, { models: ['other'] })))).headers, {});
  });

  it('is counted, and told as any other', () => {
    const subject = request({});
    const spend = admission.count(subject, ANSWERED);
    assert.deepEqual([spend.inputTokens, spend.outputTokens, spend.nano, spend.currency], [90, 20, 0, '']);
    assert.deepEqual(admission.tally.snapshot().consumers, [
      { consumer: 'anonymous', requests: 1, inputTokens: 90, outputTokens: 20, spent: [] },
    ]);
    assert.deepEqual(admission.count(subject, { ...FAILED, estimated: true }).estimated, false);
  });

  it('is still accounted for, where its caller is known', () => {
    const grant = admit(team());
    assert.deepEqual(grant.charges, []);
    admission.settle(grant, ANSWERED);
    const [usage] = admission.tally.snapshot().consumers;
    assert.deepEqual(usage, { consumer: 'ml/team-a', requests: 1, inputTokens: 90, outputTokens: 20, spent: [] });
  });
});

describe('a request is charged to', () => {
  it('every limit that holds for it, at once', () => {
    const gateway = create(GatewaySchema, { limits: [limit('tokens', 5_000)] });
    const entry = model('llama', { limits: [limit('concurrency', 3)] });
    const grant = admit({ ...team(limit('requests', 10), limit('outputTokens', 500)), entry, gateway });
    assert.deepEqual(
      consultedLimits(grant).map(({ limit, used, of }) => `${used} of ${of}: ${limit}`),
      [
        '1 of 10: 10 requests per minute for team-a',
        '100 of 500: 500 output tokens per minute for team-a',
        '1 of 3: 3 requests at once for the model llama',
        '200 of 5000: 5,000 tokens per minute for the gateway',
      ],
    );
  });

  it('none, if one refuses it', () => {
    const caller = team(limit('requests', 10), limit('concurrency', 1));
    admit(caller);
    assert.equal(refusal(caller).code, 'concurrency_exceeded');
    const grant = admit(team(limit('requests', 10)));
    assert.deepEqual(used(grant), [2]);
  });

  it('what its caller without a name shares', () => {
    const gateway = create(GatewaySchema, {
      anonymousLimits: [limit('requests', 2), limit('requests', 1, { each: [LimitEach.USER] })],
    });
    admit({ gateway, caller: anonymous('ann') });
    assert.equal(refusal({ gateway, caller: anonymous('ann') }).code, 'rate_limit_exceeded');
    admit({ gateway, caller: anonymous('bob') });
    assert.match(
      refusal({ gateway, caller: anonymous('eve') }).message,
      /2 requests per minute for callers without a name/,
    );
    admit({ gateway, ...team() });
  });
});

describe('a refusal', () => {
  it('names limit and model, what is used, and when to come again', () => {
    const caller = team(limit('requests', 2));
    admit(caller);
    nowMs += 10_000;
    admit(caller);
    const refused = refusal(caller);
    assert.equal(refused.code, 'rate_limit_exceeded');
    assert.equal(
      refused.message,
      `The limit is 2 requests per minute for team-a: 2 of 2 are used, and this request to llama is one more. Try again in ${refused.retryAfterSeconds} s.`,
    );
    assert.equal(refused.headers['x-ratelimit-remaining-requests'], '0');
    nowMs += (refused.retryAfterSeconds ?? 0) * 1_000;
    admit(caller);
  });

  it('of tokens says how many are asked for', () => {
    const caller = team(limit('tokens', 300));
    admit(caller);
    assert.match(
      refusal(caller).message,
      /: 200 of 300 are used, and this request to llama may take 200 \(100 of input, 100 of output\)\. Try again in \d+ s\.$/,
    );
  });

  it('of what can never pass says how it could', () => {
    const { code, message, retryAfterSeconds } = refusal(team(limit('tokens', 100)));
    assert.deepEqual([code, retryAfterSeconds], ['rate_limit_exceeded', undefined]);
    assert.match(message, /may take 200 .*: it can never pass\. Lower max_tokens/);
  });

  it('tells the share of the limit that can be used here', () => {
    store = new MemoryStore({ nowMs: () => nowMs, agents: () => 2 });
    assert.match(
      refusal(team(limit('tokens', 300))).message,
      /^The limit is 300 tokens per minute for team-a, of which 150 can be used here, and .* can never pass\./,
    );
  });

  it('of one that waits for others is told apart', () => {
    const caller = team(limit('concurrency', 1));
    const grant = admit(caller);
    const { code, message, retryAfterSeconds } = refusal(caller);
    assert.deepEqual([code, retryAfterSeconds], ['concurrency_exceeded', 1]);
    assert.match(message, /1 request at once for team-a, and one is running\. llama can be asked once/);
    admission.release(grant);
    admit(caller);
  });

  it('by a limit of 0 is no access', () => {
    const { code, message } = refusal(team(limit('requests', 0, { models: ['llama'] })));
    assert.equal(code, 'model_not_allowed');
    assert.match(message, /^You have no access to llama/);
    admit({ ...team(limit('requests', 0, { models: ['llama'] })), entry: model('other') });
  });

  it('without a store says so', async () => {
    const broken: LimitStore = {
      reserve: () => Promise.reject(new Error('gone')),
      read: () => Promise.reject(new Error('gone')),
      release: () => {},
      settle: () => {},
      add: () => {},
    };
    const denying: LimitStore = {
      ...broken,
      reserve: () => ({ admitted: false, refusedBy: [], retryAfterMs: undefined, states: [] }),
    };
    for (const store of [broken, denying]) {
      const refused = await admissionOver(() => store).admit(request(team(limit('requests', 1))));
      assert.ok(isRefusal(refused) && refused.code === 'gateway_unavailable');
      assert.match(refused.message, /limits store/);
    }
    const gateway = create(GatewaySchema);
    const usage = await admissionOver(() => broken).usage({
      ...team(limit('requests', 1)),
      models: [model('x')],
      gateway,
    });
    assert.ok(isRefusal(usage) && usage.code === 'gateway_unavailable');
  });
});

describe('a store that counts nothing', () => {
  it('has nothing told to the caller', () => {
    store = { ...store, reserve: () => ({ admitted: true, states: [] }) };
    const grant = admit(team(limit('requests', 5), limit('tokens', 5, { shadow: true })));
    assert.deepEqual([toldOf(grant).headers, consultedLimits(grant)], [{}, []]);
  });
});

describe('a mistake of ours in judging', () => {
  it('costs the request an error, and keeps nothing of what it reserved', async () => {
    const caller = team(limit('requests', 1));
    const known = new MemoryStore({ nowMs: () => nowMs, agents: () => 1 });
    const wrong = (id: string, charges: readonly Charge[]): Verdict => {
      known.reserve(id, charges);
      // None of the charges has this index, and nothing else is as it should be.
      return { admitted: false, refusedBy: [0], retryAfterMs: 0, states: null } as never;
    };
    store = {
      reserve: wrong,
      read: counters => known.read(counters),
      release: id => known.release(id),
      settle: (id, charges, amounts) => known.settle(id, charges, amounts),
      add: charges => known.add(charges),
    };
    assert.equal(refusal(caller).code, 'internal_error');
    store = { ...store, reserve: async (id, charges) => wrong(id, charges) };
    const answer = await admission.admit(request(caller));
    assert.ok(isRefusal(answer) && answer.code === 'internal_error');
    assert.equal(failures.length, 2);
    store = known;
    assert.deepEqual(used(admit(caller)), [1]);
  });
});

describe('a store that is asked over a network', () => {
  it('is waited for, and settled like any other', async () => {
    const memory = new MemoryStore({ nowMs: () => nowMs, agents: () => 1 });
    const remote: LimitStore = {
      reserve: async (id, charges) => memory.reserve(id, charges),
      read: async counters => memory.read(counters),
      release: id => memory.release(id),
      settle: (id, charges, amounts) => memory.settle(id, charges, amounts),
      add: charges => memory.add(charges),
    };
    const admission = admissionOver(() => remote);
    const caller = team(limit('tokens', 250));
    const [first, second] = await Promise.all([admission.admit(request(caller)), admission.admit(request(caller))]);
    assert.ok(!isRefusal(first) && isRefusal(second));
    admission.settle(first, { ...ANSWERED, promptTokens: 10, completionTokens: 40, estimated: true });
    assert.ok(!isRefusal(await admission.admit(request(caller))));
    const usage = await admission.usage({ ...caller, models: [model('llama')], gateway: create(GatewaySchema) });
    assert.ok(!isRefusal(usage));
    assert.equal(usage.limits[0]?.used, 250);
  });
});

describe('a shadow limit', () => {
  it('counts and tells, and refuses nothing', () => {
    const caller = team(limit('requests', 1, { shadow: true }), limit('requests', 5));
    admit(caller);
    assert.deepEqual(used(admit(caller)), [2, 2]);
    const counts = admission.tally.snapshot().checks.map(({ limit, outcome, count }) => `${limit} ${outcome} ${count}`);
    assert.deepEqual(counts, [
      '1 request per minute for team-a admitted 1',
      '1 request per minute for team-a shadowed 1',
      '5 requests per minute for team-a admitted 2',
    ]);
  });
});

describe('a settlement', () => {
  const limits = [
    limit('requests', 10),
    limit('tokens', 1_000),
    limit('inputTokens', 1_000),
    limit('outputTokens', 1_000),
  ];
  const usedAfter = (end: (grant: Grant) => void) => {
    const caller = team(...limits);
    end(admit(caller));
    const after = admit(caller);
    return after.states.map(({ used }, i) => used - (after.charges[i]?.amount ?? 0));
  };

  it('charges what was really used', () => {
    assert.deepEqual(
      usedAfter(grant => admission.settle(grant, ANSWERED)),
      [1, 110, 90, 20],
    );
  });

  it('gives back tokens of what was not produced, but not the request', () => {
    assert.deepEqual(
      usedAfter(grant => admission.settle(grant, FAILED)),
      [1, 0, 0, 0],
    );
  });

  it('counts once, and not after everything was given back', () => {
    assert.deepEqual(
      usedAfter(grant => {
        admission.settle(grant, ANSWERED);
        admission.settle(grant, ANSWERED);
        admission.cancel(grant);
      }),
      [1, 110, 90, 20],
    );
    store = new MemoryStore({ nowMs: () => nowMs, agents: () => 1 });
    assert.deepEqual(
      usedAfter(grant => {
        admission.cancel(grant);
        admission.settle(grant, ANSWERED);
      }),
      [0, 0, 0, 0],
    );
  });

  it('of more than was reserved is debt', () => {
    const caller = team(limit('tokens', 1_000));
    admission.settle(admit(caller), { ...ANSWERED, completionTokens: 2_000 });
    assert.equal(refusal(caller).code, 'rate_limit_exceeded');
  });

  it('is put in the store that reserved it', () => {
    const caller = team(limit('tokens', 1_000));
    const grant = admit(caller);
    const before = store;
    store = new MemoryStore({ nowMs: () => nowMs, agents: () => 1 });
    admission.settle(grant, ANSWERED);
    store = before;
    assert.deepEqual(used(admit(caller)), [310]);
  });

  it('estimates no input tokens of sound', () => {
    const grant = admit({ ...team(), endpoint: endpointAt('audio/transcriptions') });
    assert.equal(admission.settle(grant, { ...ANSWERED, estimated: true })?.inputTokens, 0);
  });

  it('estimates no prompt that is longer than the context', () => {
    const grant = admit({ ...team(), entry: model('llama', { maxContextLength: 4_096 }) });
    const spend = admission.settle(grant, { ...ANSWERED, promptTokens: 2_000_000, estimated: true });
    assert.equal(spend?.inputTokens, 4_096);
  });

  it('teaches what to reserve', () => {
    const caller = team(limit('inputTokens', 1_000_000));
    for (let i = 0; i < 500; i++) admission.settle(admit(caller), { ...ANSWERED, promptTokens: 200 });
    const [charge] = admit(caller).charges;
    assert.ok(charge && charge.amount > 190 && charge.amount <= 201, `${charge?.amount}`);
  });
});

describe('a budget', () => {
  const pricing = create(PricingSchema, { currency: 'EUR', promptToken: 10_000_000n, completionToken: 10_000_000n });
  const entry = model('llama', { pricing });
  const spender = (amount: bigint, warnPercent = 80) => ({
    entry,
    caller: consumer('team-a', {
      budget: create(BudgetSchema, { amount, currency: 'EUR', period: BudgetPeriod.DAY, timeZone: 'UTC', warnPercent }),
    }),
  });

  it('refuses what may cost more than is left, until it is renewed', () => {
    const caller = spender(3_000_000n);
    admission.settle(admit(caller), { ...ANSWERED, promptTokens: 100, completionTokens: 100 });
    const { code, message, retryAfterSeconds } = refusal(caller);
    assert.deepEqual([code, retryAfterSeconds], ['insufficient_quota', 12 * 3_600]);
    assert.equal(
      message,
      'The budget is 0.003 EUR per day for team-a: 0.002 of it are spent, and this request may cost 0.002. ' +
        'Lower max_tokens, ask for a larger budget, or wait until it is renewed, which is at 2026-05-16T00:00:00.000Z.',
    );
    nowMs += 12 * 3_600_000;
    admit(caller);
  });

  it('is charged what the answer cost', () => {
    const spend = admission.settle(admit(spender(10_000_000n)), { ...ANSWERED, cachedPromptTokens: 40 });
    assert.deepEqual(spend, {
      inputTokens: 90,
      cachedInputTokens: 40,
      outputTokens: 20,
      nano: 1_100_000,
      currency: 'EUR',
      estimated: false,
    });
  });

  it('is not touched by what is free, or priced in another currency', () => {
    assert.deepEqual(admit({ ...spender(1n), entry: model('free') }).charges, []);
    const dollars = model('other', { pricing: create(PricingSchema, { currency: 'USD', request: 5n }) });
    assert.deepEqual(admit({ ...spender(1n), entry: dollars }).charges, []);
  });

  it('is told from its threshold on, as long as its period lasts', () => {
    const caller = spender(4_000_000n, 50);
    const first = admit(caller);
    assert.deepEqual(
      admission.budgetStates().map(({ consumer, spent, amount }) => [consumer, spent, amount]),
      [['ml/team-a', 2_000_000, 4_000_000]],
    );
    admission.settle(first, ANSWERED);
    assert.deepEqual(admission.budgetStates(), []);
    admit(caller);
    assert.equal(admission.budgetStates()[0]?.spent, 3_100_000);
    assert.equal(admission.budgetStates()[0]?.periodEndMs, Date.parse('2026-05-16T00:00:00Z'));
    nowMs += 86_400_000;
    assert.deepEqual(admission.budgetStates(), []);
  });

  it('is told as it was last known, with what is spent since, where a store does not know', () => {
    const caller = spender(4_000_000n, 50);
    const [counted, cancelled] = [admit(caller), admit(caller)];
    const known = store;
    for (const unknowing of [
      { ...known, reserve: () => ({ admitted: true, states: [] }) },
      {
        ...known,
        reserve: (id, charges) => ({
          ...new MemoryStore({ nowMs: () => nowMs, agents: () => 1 }).reserve(id, charges),
          isAlone: true,
        }),
      },
    ] satisfies LimitStore[]) {
      store = { ...unknowing, settle: () => {}, add: () => {} };
      const before = admission.budgetStates()[0]?.spent ?? 0;
      const grants = [admit(caller), admit(caller)] as const;
      assert.equal(admission.budgetStates()[0]?.spent, before);
      admission.settle(grants[0], ANSWERED);
      admission.cancel(grants[1]);
      assert.equal(admission.budgetStates()[0]?.spent, before + 1_100_000);
    }
    admission.cancel(cancelled);
    admission.settle(counted, ANSWERED);
    assert.equal(admission.budgetStates()[0]?.spent, 3 * 1_100_000);
  });

  it('pays for images, and for minutes of audio', () => {
    const media = create(PricingSchema, { currency: 'EUR', image: 2_000_000_000n, audioMinute: 60_000_000_000n });
    const of = (path: string, answers: number) => {
      const made = request({
        ...spender(10_000_000_000n),
        entry: model('m', { pricing: media }),
        endpoint: endpointAt(path),
      });
      const grant = admit({ ...made, facts: { ...made.facts, answers }, body: new Uint8Array(32_000) });
      return admission.settle(grant, { ...ANSWERED, completionTokens: 0 });
    };
    assert.equal(of('images/generations', 3)?.nano, 6_000_000);
    const audio = of('audio/transcriptions', 1);
    assert.deepEqual([audio?.nano, audio?.estimated], [2_000_000, true]);
  });
});

describe('usage', () => {
  const gateway = create(GatewaySchema);

  it('tells limits, budget and models', () => {
    const pricing = create(PricingSchema, { currency: 'EUR', promptToken: 10_000_000n });
    const entry = model('llama', {
      pricing,
      limits: [limit('requests', 7), limit('requests', 9, { each: [LimitEach.CONSUMER] })],
    });
    const caller = consumer('team-a', {
      limits: [limit('requests', 10), limit('tokens', 1_000, { each: [LimitEach.MODEL] }), limit('concurrency', 2)],
      budget: create(BudgetSchema, {
        amount: 2_000_000_000n,
        currency: 'EUR',
        period: BudgetPeriod.MONTH,
        timeZone: 'UTC',
      }),
    });
    admission.settle(admit({ caller, entry }), ANSWERED);
    const told = admission.usage({ caller, models: [entry, model('unused')], gateway }) as UsageReport;
    const { limits, ...rest } = told;
    assert.deepEqual(
      limits.map(
        ({ limit, used, remaining, model }) => `${limit}: ${used}, ${remaining} left${model ? ` of ${model}` : ''}`,
      ),
      [
        '10 requests per minute for team-a: 1, 9 left',
        '1,000 tokens per minute for each model of team-a: 110, 890 left of llama',
        '1,000 tokens per minute for each model of team-a: 0, 1000 left of unused',
        '2 requests at once for team-a: 0, 2 left',
        '9 requests per minute for each consumer of the model llama: 1, 8 left',
      ],
    );
    const [{ unit, per, amount, resets_at, shadow } = assert.fail()] = limits;
    assert.deepEqual([unit, per, amount, shadow], ['requests', 'minute', 10, false]);
    assert.ok(Date.parse(resets_at ?? '') > nowMs && Date.parse(resets_at ?? '') <= nowMs + 61_000);
    assert.deepEqual([limits[3]?.per, limits[3]?.resets_at], [null, null]);
    assert.deepEqual(rest, {
      object: 'usage',
      consumer: 'team-a',
      budget: {
        amount: '2.00',
        spent: '0.0009',
        remaining: '1.9991',
        currency: 'EUR',
        period: 'month',
        resets_at: '2026-06-01T00:00:00.000Z',
      },
      models: [{ model: 'llama', requests: 1, input_tokens: 90, output_tokens: 20, cost: '0.0009', currency: 'EUR' }],
    });
  });

  it('of the anonymous tells what they share', () => {
    const gateway = create(GatewaySchema, { anonymousLimits: [limit('requests', 3)] });
    admit({ gateway });
    const told = admission.usage({ caller: anonymous(''), models: [model('llama')], gateway }) as UsageReport;
    assert.deepEqual([told.consumer, told.budget, told.models, told.limits[0]?.used], ['anonymous', null, [], 1]);
  });
});

it('whatever requests come and however they end, never more is reserved than the limits allow', () => {
  const event = fc.record({
    outputTokens: fc.integer({ min: 1, max: 400 }),
    end: fc.constantFrom('settle', 'fail', 'cancel', 'stay'),
    waitMs: fc.nat(20_000),
  });
  fc.assert(
    fc.property(fc.array(event, { maxLength: 40 }), events => {
      nowMs = START_MS;
      store = new MemoryStore({ nowMs: () => nowMs, agents: () => 1 });
      admission = admissionOver(() => store);
      const caller = team(limit('tokens', 1_500), limit('requests', 6), limit('concurrency', 3));
      for (const { outputTokens, end, waitMs } of events) {
        nowMs += waitMs;
        const made = request(caller);
        const grant = answer({ ...made, facts: { ...made.facts, maxOutputTokens: outputTokens } });
        if (isRefusal(grant)) continue;
        for (const { used, limit } of grant.states) assert.ok(used <= limit);
        // No answer is longer than was asked for: nothing becomes debt.
        const outcome = { ...ANSWERED, promptTokens: 100, completionTokens: Math.min(outputTokens, 50) };
        if (end === 'settle') admission.settle(grant, outcome);
        if (end === 'fail') admission.settle(grant, FAILED);
        if (end === 'cancel') admission.cancel(grant);
      }
    }),
  );
});
