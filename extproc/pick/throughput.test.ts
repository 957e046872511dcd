import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { EndpointLoad } from '../endpoint-load/endpoint-load.ts';
import { ModelIndex } from '../models/model-index.ts';
import { Picker } from './picker.ts';
import { mulberry32 } from './random.ts';
import { oneModel } from './sample-model.fixture.ts';

const facts = { promptTokens: 100, outputTokens: 100 };

function start(endpoints: readonly string[]) {
  const load = new EndpointLoad();
  const index = new ModelIndex(load);
  index.apply(oneModel([{ name: 'gpu', endpoints }]));
  const picker = new Picker(load, mulberry32(1));
  const entry = index.resolve('model');
  assert.ok(entry);
  const pick = (nowMs: number) => picker.pick(entry, 'throughput', facts, nowMs)?.slots[0] ?? -1;
  const answer = (slot: number, tokens: number, nowMs: number) => {
    const reservation = load.reserve(slot, 200, nowMs);
    load.release(reservation);
    load.settle(reservation, tokens, nowMs);
  };
  return { load, entry, pick, answer };
}

describe('throughput', () => {
  it('moves traffic off the endpoint that gave the long answers, until they leave the window', () => {
    const { load, entry, pick, answer } = start(['chatty', 'terse']);
    const [chatty = -1, terse = -1] = entry.backends[0]?.slots ?? [];
    answer(chatty, 50_000, 0);
    for (let request = 0; request < 200; request++) {
      assert.equal(pick(1_000), terse);
      answer(terse, 200, 1_000);
    }
    assert.ok((load.tokenCounts(1_000)[chatty] ?? 0) > (load.tokenCounts(1_000)[terse] ?? 0));
    const after = new Set(Array.from({ length: 50 }, () => pick(61_000)));
    assert.deepEqual(after, new Set([chatty, terse]));
  });

  it('evens out tokens, not requests, when one endpoint answers ten times as long', () => {
    const { load, entry, pick, answer } = start(['chatty', 'terse']);
    const [chatty = -1, terse = -1] = entry.backends[0]?.slots ?? [];
    const requests = new Map([
      [chatty, 0],
      [terse, 0],
    ]);
    for (let request = 0; request < 1_100; request++) {
      const slot = pick(0);
      requests.set(slot, (requests.get(slot) ?? 0) + 1);
      answer(slot, slot === chatty ? 2_000 : 200, 0);
    }
    const tokens = load.tokenCounts(0);
    assert.ok(Math.abs((tokens[chatty] ?? 0) - (tokens[terse] ?? 0)) <= 2_000);
    assert.ok(
      Math.abs((requests.get(chatty) ?? 0) - 100) <= 1,
      `${requests.get(chatty)} of 1100 went to the chatty one`,
    );
  });

  it('counts what is reserved for requests in flight', () => {
    const { load, entry, pick } = start(['busy', 'idle']);
    const [busy = -1, idle = -1] = entry.backends[0]?.slots ?? [];
    const reservation = load.reserve(busy, 10_000, 0);
    for (let request = 0; request < 20; request++) assert.equal(pick(3_600_000), idle);
    load.release(reservation);
    assert.equal(pick(3_600_000), idle, 'until it is settled');
    load.settle(reservation, 0, 3_600_000);
    assert.deepEqual(new Set(Array.from({ length: 50 }, () => pick(3_600_000))), new Set([busy, idle]));
  });
});
