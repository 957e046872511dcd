import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { PricingSchema } from '../../proto/gen/fairlead/v1/table_pb.js';
import { accountCharges, accountCounters } from './accounts.ts';
import { consumer, model } from './sample-request.fixture.ts';

const MAY_MS = Date.parse('2026-05-15T12:00:00Z');
const JUNE_MS = Date.parse('2026-06-01T00:00:00Z');

const entryOf = (name: string) => consumer(name, {}).consumer ?? assert.fail();

test('a request is added to what its consumer used of its model in the period, and nothing to sums that it leaves', () => {
  const [a, b] = [entryOf('a'), entryOf('b')];
  const priced = model('llama', { pricing: create(PricingSchema, { currency: 'EUR' }) });
  const free = model('free');
  const amounts = { requests: 1, input: 5, output: 0, nano: 7 };
  const seen = new Set<string>();
  for (const nowMs of [MAY_MS, JUNE_MS]) {
    for (const consumer of [a, b]) {
      for (const entry of [priced, free]) {
        const [requests, input, , nano] = accountCounters(consumer, entry, nowMs);
        const expected = [requests, input, nano].map((counter, i) => ({ counter, amount: [1, 5, 7][i] }));
        for (let again = 0; again < 2; again++) {
          const charges = accountCharges(consumer, entry, amounts, nowMs);
          assert.deepEqual(charges, expected);
          for (const { counter } of charges) seen.add(counter.key);
        }
      }
    }
  }
  assert.equal(seen.size, 2 * 2 * 2 * 3);
});

test('a price in another currency is another sum', () => {
  const keyIn = (currency: string) =>
    accountCharges(
      entryOf('a'),
      model('llama', { pricing: create(PricingSchema, { currency }) }),
      { requests: 0, input: 0, output: 0, nano: 1 },
      MAY_MS,
    ).map(({ counter }) => counter.key);
  assert.notDeepEqual(keyIn('EUR'), keyIn('USD'));
});
