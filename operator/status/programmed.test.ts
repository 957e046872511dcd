import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Fleet, FleetAgent } from './fleet.ts';
import { programmed, resumed } from './programmed.ts';
import type { Refusal } from './refusals.ts';

const NOW_MS = 100_000;
const CHANGED_IN = 7;

function agent(nodeId: string, follows: number, silentMs?: number, joinedAt = 0): FleetAgent {
  return { nodeId, follows, joinedAt, silentSinceMs: silentMs === undefined ? undefined : NOW_MS - silentMs };
}

function judge(agents: readonly FleetAgent[], ofResource: readonly Refusal[] = [], ofTable: readonly Refusal[] = []) {
  const fleet: Fleet = { agents, goneSinceMs: agents.length > 0 ? undefined : 0 };
  return programmed(CHANGED_IN, fleet, { ofResource, ofTable }, NOW_MS);
}

const a = agent('a', 9);
const b = agent('b', 7);
const refusal = (nodeId: string, message = 'no') => ({ nodeId, message });

const table: readonly [string, Parameters<typeof judge>, string][] = [
  ['all follow', [[a, b]], 'final True Programmed every connected gateway follows'],
  ['one was just asked', [[a, b, agent('c', 6, 40)]], 'soon Unknown Pending 2 of 3 gateways follow; waiting for c'],
  ['one takes long', [[a, b, agent('c', 6, 1_000)]], 'late Unknown Pending 2 of 3 gateways follow; waiting for c'],
  ['one is silent', [[a, b, agent('c', 6, 10_000)]], 'final True Programmed 2 of 3 gateways; c has not answered'],
  [
    'two are silent and one is not',
    [[a, agent('d', 0, 10_000), agent('c', 6, 20_000), agent('e', 5, 3)]],
    'soon Unknown Pending 1 of 4 gateways follow; waiting for c, d, e',
  ],
  [
    'many are silent',
    [[a, ...['g', 'f', 'e', 'd', 'c'].map(id => agent(id, 1, 60_000))]],
    'final True Programmed 1 of 6 gateways; c, d, e and 2 more have not answered',
  ],
  ['the only one is silent', [[agent('c', 6, 10_000)]], 'final Unknown Pending 0 of 1 gateway follows; waiting for c'],
  [
    'one connected after the change',
    [[a, agent('c', 0, 5_000, 7)]],
    'final True Programmed every connected gateway follows',
  ],
  [
    'all connected after the change',
    [[agent('c', 0, 500, 7), agent('d', 0, 900, 8)]],
    'resuming Unknown Pending 0 of 2 gateways follow; waiting for c, d',
  ],
  [
    'all connected after the change and do not answer',
    [[agent('c', 0, 10_000, 7)]],
    'final Unknown Pending 0 of 1 gateway follows; waiting for c',
  ],
  [
    'two refuse it',
    [
      [a, b],
      [refusal('b', 'Envoy says no'), refusal('a', 'Envoy says no')],
    ],
    'final False Refused refused by a, b: Envoy says no',
  ],
  [
    'one refused it before the last change',
    [[a, agent('c', 6, 40)], [refusal('c')]],
    'soon Unknown Pending 1 of 2 gateways follow; waiting for c',
  ],
  [
    'one refused it and is silent since',
    [[a, agent('c', 6, 10_000)], [refusal('c')]],
    'final False Refused refused by c: no',
  ],
  [
    'one refuses the table',
    [[a, agent('c', 6, 40)], [], [refusal('c', 'table 7: bad')]],
    'final False Refused refused by c: table 7: bad',
  ],
  [
    'one refuses a later table',
    [[a, agent('c', 8, 40)], [], [refusal('c', 'table 9: bad')]],
    'final True Programmed every connected gateway follows',
  ],
];

for (const [name, given, expected] of table) {
  test(`programmed: ${name}`, () => {
    const { condition, standing } = judge(...given);
    assert.equal(`${standing} ${condition.status} ${condition.reason} ${condition.message}`, expected);
  });
}

test('without a gateway it is unknown, at once after a start as well', () => {
  const without = (goneSinceMs: number) =>
    programmed(CHANGED_IN, { agents: [], goneSinceMs }, { ofResource: [], ofTable: [] }, NOW_MS);
  const { condition, standing } = without(NOW_MS - 10_000);
  assert.deepEqual([standing, condition.status, condition.reason], ['final', 'Unknown', 'NoGateways']);
  assert.equal(without(NOW_MS - 9_999).standing, 'resuming');
});

test('what was said stays while gateways are on their way, of the same generation only', () => {
  const before = {
    type: 'Programmed',
    status: 'True',
    reason: 'Programmed',
    message: 'as before',
    observedGeneration: 3,
    lastTransitionTime: '2026-01-01T00:00:00Z',
  } as const;
  const soon = judge([a, agent('c', 6, 40)]);
  assert.equal(resumed(soon, before, 3).message, 'as before');
  assert.equal(resumed(soon, before, 4), soon.condition);
  assert.equal(resumed(soon, undefined, 3), soon.condition);
  assert.equal(resumed(soon, { ...before, reason: 'NotAccepted' }, 3), soon.condition);
  const late = judge([a, agent('c', 6, 1_000)]);
  assert.equal(resumed(late, before, 3), late.condition);
});

test('True needs a gateway that follows; time alone settles all that some gateway follows', () => {
  const agents = fc.uniqueArray(
    fc.record({
      nodeId: fc.string({ minLength: 1, maxLength: 3 }),
      follows: fc.nat(10),
      joinedAt: fc.nat(10),
      silentSinceMs: fc.option(fc.integer({ min: NOW_MS - 20_000, max: NOW_MS }), { nil: undefined }),
    }),
    { selector: ({ nodeId }) => nodeId, minLength: 1, maxLength: 5 },
  );
  const check = (fleet: FleetAgent[]) => {
    const follows = fleet.some(({ follows }) => follows >= CHANGED_IN);
    const { condition } = judge(fleet);
    if (condition.status === 'True') assert.ok(follows);
    assert.notEqual(condition.status, 'False');
    const refused = { ofResource: [], ofTable: [] };
    const later = programmed(CHANGED_IN, { agents: fleet, goneSinceMs: undefined }, refused, NOW_MS + 10_000);
    const known = fleet.every(({ follows, silentSinceMs }) => follows >= CHANGED_IN || silentSinceMs !== undefined);
    if (known) assert.deepEqual([later.condition.status, later.standing], [follows ? 'True' : 'Unknown', 'final']);
  };
  fc.assert(fc.property(agents, check));
});
