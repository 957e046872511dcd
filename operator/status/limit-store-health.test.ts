import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { NodeReportSchema } from '../../proto/gen/fairlead/v1/report_pb.js';
import type { ConnectedAgent } from '../publish/publisher.ts';
import { nextHealth, STORE_IS_WELL } from './limit-store-health.ts';

function agent(nodeId: string, limitStoreFailure = ''): ConnectedAgent {
  return { nodeId, report: create(NodeReportSchema, { nodeId, limitStoreFailure }), refused: [] };
}

/** What is told over a time: at which millisecond, why. */
function told(history: readonly (readonly [atMs: number, agents: readonly ConnectedAgent[]])[]): string[] {
  let health = STORE_IS_WELL;
  return history.flatMap(([atMs, agents]) => {
    const next = nextHealth(health, agents, atMs);
    health = next.health;
    return next.transition === undefined ? [] : [`${atMs} ${next.transition.reason}: ${next.transition.note}`];
  });
}

const well = [agent('a'), agent('b')];
const failing = [agent('a'), agent('b', 'connection refused')];

test('a failure is told once, after it lasted, and its end after that did', () => {
  assert.deepEqual(
    told([
      [0, well],
      [1_000, failing],
      [2_999, failing],
      [3_000, failing],
      [9_000, failing],
      [10_000, well],
      [39_999, well],
      [40_000, well],
      [90_000, well],
    ]),
    [
      '3000 LimitStoreFailed: 1 of 2 gateways do not reach the limit store; b: connection refused',
      '40000 LimitStoreRecovered: every gateway reaches the limit store again',
    ],
  );
});

test('a store that comes and goes is told of once', () => {
  const flapping = Array.from({ length: 100 }, (_, step) => [step * 5_000, step % 2 === 0 ? failing : well] as const);
  const lasting = flapping.flatMap(([atMs, agents]) => [[atMs, agents] as const, [atMs + 4_000, agents] as const]);
  assert.equal(told(lasting).length, 1);
});

test('without reports nothing is known', () => {
  const silent = [{ nodeId: 'a', report: undefined, refused: [] }];
  assert.deepEqual(
    told([
      [0, failing],
      [2_000, failing],
      [3_000, []],
      [60_000, silent],
      [70_000, well],
      [99_999, well],
    ]),
    ['2000 LimitStoreFailed: 1 of 2 gateways do not reach the limit store; b: connection refused'],
  );
  const { waitMs } = nextHealth(STORE_IS_WELL, failing, 5);
  assert.equal(waitMs, 2_000);
});
