import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { AgentCount, sharedLimit } from './local-share.ts';

describe('the share of a limit', () => {
  for (const [limit, agents, share] of [
    [10, 1, 10],
    [10, 3, 3],
    [10, 10, 1],
    [10, 11, 1],
    [1, 50, 1],
    [0, 3, 0],
    [Number.POSITIVE_INFINITY, 3, Number.POSITIVE_INFINITY],
  ] as const) {
    it(`is ${share} of ${limit} for each of ${agents}`, () => assert.equal(sharedLimit(limit, agents), share));
  }
});

describe('the number of agents', () => {
  it('is 1 before any is told, and never less', () => {
    const count = new AgentCount();
    assert.equal(count.at(0), 1);
    count.tell(0, 0);
    assert.equal(count.at(0), 1);
  });

  it('goes up at once, and down when the higher number was in force for the last time two minutes ago', () => {
    const count = new AgentCount();
    count.tell(5, 1_000);
    assert.equal(count.at(1_000), 5);
    count.tell(2, 500_000);
    assert.equal(count.at(619_999), 5);
    assert.equal(count.at(620_000), 2);
  });

  it('is not lowered by a control plane that restarts', () => {
    const count = new AgentCount();
    count.tell(4, 0);
    for (const agents of [1, 2, 3, 4]) {
      count.tell(agents, agents * 1_000);
      assert.equal(count.at(agents * 1_000), 4);
    }
    assert.equal(count.at(1_000_000), 4);
  });

  it('is the highest of all that were in force in the last two minutes', () => {
    const told = fc.array(fc.record({ agents: fc.nat(9), lastedMs: fc.nat(90_000) }), { maxLength: 30 });
    fc.assert(
      fc.property(told, numbers => {
        const count = new AgentCount();
        const ended: { agents: number; untilMs: number }[] = [];
        let nowMs = 0;
        let latest = 1;
        for (const { agents, lastedMs } of numbers) {
          ended.push({ agents: latest, untilMs: nowMs });
          latest = Math.max(1, agents);
          count.tell(agents, nowMs);
          nowMs += lastedMs;
          const recent = ended.filter(({ untilMs }) => untilMs > nowMs - 120_000);
          assert.equal(count.at(nowMs), Math.max(latest, ...recent.map(each => each.agents)));
        }
      }),
    );
  });
});
