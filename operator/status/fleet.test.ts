import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { NodeReportSchema } from '../../proto/gen/fairlead/v1/report_pb.js';
import type { ConnectedAgent } from '../publish/publisher.ts';
import { type Fleet, nextFleet, type TableProgress } from './fleet.ts';

function reporting(nodeId: string, tableVersion: string, envoyReady = true): ConnectedAgent {
  return { nodeId, report: create(NodeReportSchema, { nodeId, tableVersion, envoyReady }), refused: [] };
}

function progress(sequence: number, ...agents: readonly ConnectedAgent[]): TableProgress {
  return {
    sequence,
    gatewayChangedIn: 1,
    changedIn: () => 1,
    consumerChangedIn: () => 1,
    sequenceOf: version => (Number(version) <= sequence ? Number(version) : undefined),
    agents: () => agents,
  };
}

function after(before: Fleet | undefined, now: TableProgress, nowMs: number): Fleet {
  return nextFleet(before, now, nowMs);
}

test('an agent is silent since it fell behind or last made progress', () => {
  const joined = after(undefined, progress(2, reporting('a', '2')), 0);
  assert.deepEqual(joined.agents, [{ nodeId: 'a', follows: 2, joinedAt: 2, silentSinceMs: undefined }]);
  const behind = after(joined, progress(4, reporting('a', '2')), 10);
  assert.deepEqual(behind.agents, [{ nodeId: 'a', follows: 2, joinedAt: 2, silentSinceMs: 10 }]);
  const still = after(behind, progress(5, reporting('a', '2')), 20);
  assert.equal(still.agents[0]?.silentSinceMs, 10);
  const further = after(still, progress(5, reporting('a', '4')), 30);
  assert.deepEqual(further.agents, [{ nodeId: 'a', follows: 4, joinedAt: 2, silentSinceMs: 30 }]);
  const there = after(further, progress(5, reporting('a', '5')), 40);
  assert.deepEqual(there.agents, [{ nodeId: 'a', follows: 5, joinedAt: 2, silentSinceMs: undefined }]);
});

test('an Envoy that restarts keeps what it has followed; one that was never ready follows nothing', () => {
  const joined = after(undefined, progress(2, reporting('a', '2'), reporting('b', '2', false)), 0);
  assert.deepEqual(
    joined.agents.map(({ follows }) => follows),
    [2, 0],
  );
  assert.equal(after(joined, progress(2, reporting('a', '2', false)), 1).agents[0]?.follows, 2);
});

test('an agent that comes back begins anew, also with a version of another control plane', () => {
  const joined = after(undefined, progress(2, reporting('a', '2')), 0);
  const gone = after(joined, progress(3), 10);
  assert.deepEqual(gone, { agents: [], goneSinceMs: 10 });
  assert.equal(after(gone, progress(3), 20).goneSinceMs, 10);
  const back = after(gone, progress(3, reporting('a', '57')), 30);
  assert.deepEqual(back, {
    agents: [{ nodeId: 'a', follows: 0, joinedAt: 3, silentSinceMs: 30 }],
    goneSinceMs: undefined,
  });
});
