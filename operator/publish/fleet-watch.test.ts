import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { FleetWatch } from './fleet-watch.ts';

/** A watch in virtual time. */
function watch(t: TestContext) {
  let nowMs = 1_000;
  t.mock.timers.enable({ apis: ['setTimeout'] });
  t.mock.method(performance, 'now', () => nowMs);
  const told: number[] = [];
  const pass = (ms: number) => {
    nowMs += ms;
    t.mock.timers.tick(ms);
  };
  return { watch: new FleetWatch(agents => told.push(agents)), told, pass };
}

test('agents that connect together are one change; the first one is none', t => {
  const { watch: fleet, told, pass } = watch(t);
  fleet.connected(1);
  pass(1_000);
  assert.deepEqual(told, []);
  for (const agents of [2, 3, 4]) fleet.connected(agents);
  pass(20);
  assert.deepEqual(told, [4]);
});

test('agents that come one after another are told of while they do', t => {
  const { watch: fleet, told, pass } = watch(t);
  for (let agents = 1; agents <= 50; agents++) {
    fleet.connected(agents);
    pass(10);
  }
  assert.ok(told.length > 10, `told of ${told}`);
  pass(20);
  assert.equal(told.at(-1), 50);
});

test('agents that stay away are told of when they have for a minute', t => {
  const { watch: fleet, told, pass } = watch(t);
  fleet.connected(3);
  pass(20);
  fleet.connected(2);
  pass(30_000);
  fleet.connected(1);
  pass(29_999);
  assert.deepEqual(told, [3]);
  pass(1);
  assert.deepEqual(told, [3, 2]);
  pass(30_000);
  assert.deepEqual(told, [3, 2, 1]);
});

test('agents that come back in time were never gone', t => {
  const { watch: fleet, told, pass } = watch(t);
  fleet.connected(3);
  pass(20);
  fleet.connected(2);
  pass(59_000);
  fleet.connected(3);
  pass(600_000);
  assert.deepEqual(told, [3]);
});
