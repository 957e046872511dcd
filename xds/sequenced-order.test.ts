import assert from 'node:assert/strict';
import { afterEach, beforeEach, mock, test } from 'node:test';
import { gateTimeoutMs, removalHoldMs } from './limits.ts';
import { sequenced } from './sequenced-order.ts';
import { resource, SimulatedClient } from './simulated-client.ts';

const C = 't/Cluster';
const E = 't/Endpoints';
const R = 't/Routes';

const order = sequenced({
  types: [C, E, R],
  awaits: { [R]: [C, E] },
  resendWith: [[C, E]],
  expected: [C, R],
});

beforeEach(() => mock.timers.enable({ apis: ['setTimeout'] }));
afterEach(() => mock.timers.reset());

function settledClient(...resources: Parameters<typeof resource>[]): SimulatedClient {
  return SimulatedClient.settled(order, [C, E, R], ...resources.map(each => resource(...each)));
}

test('upserts go in the declared order; routes wait for what they may refer to, endpoints do not', () => {
  const client = settledClient([C, 'a', '1']);
  client.update([resource(R, 'r', '1'), resource(E, 'b', '1'), resource(C, 'b', '1')]);
  assert.deepEqual(client.told(), ['Cluster +b', 'Endpoints +b']);
  client.ack(E);
  assert.deepEqual(client.told(), ['Cluster +b', 'Endpoints +b']);
  client.ack(C);
  assert.deepEqual(client.told(), ['Cluster +b', 'Endpoints +b', 'Routes +r']);
});

test('routes do not wait for changes that are newer than they', () => {
  const client = settledClient([C, 'a', '1']);
  client.update([resource(C, 'a', '2'), resource(R, 'r', '1')]);
  client.update([resource(C, 'a', '3')]);
  client.ack(C);
  // Cluster version 3 is in flight now; the route is of the update before it.
  assert.deepEqual(client.told(), ['Cluster +a', 'Cluster +a', 'Routes +r']);
});

test('a refused cluster holds up nothing', () => {
  const client = settledClient([C, 'a', '1']);
  client.update([resource(C, 'a', '2'), resource(R, 'r', '1')]);
  client.nack(C, 'cluster a: no');
  assert.deepEqual(client.told(), ['Cluster +a', 'Routes +r']);
  assert.deepEqual(client.refused, [{ typeUrl: C, name: 'a', message: 'cluster a: no' }]);
  assert.deepEqual(client.stream.refused, client.refused);
  client.update([resource(C, 'a', '3')]);
  client.ackAll();
  assert.deepEqual(client.stream.refused, []);
});

test('what a refused response brought besides the culprit is sent again, until it is taken or blamed itself', () => {
  const client = settledClient([C, 'z', '1']);
  client.update([resource(C, 'a', '1'), resource(C, 'b', '1'), resource(C, 'c', '1'), resource(R, 'r', '1')]);
  client.nack(C, 'cluster b: no');
  client.nack(C, 'cluster c: no');
  assert.equal(client.stream.settledSequence, 1);
  client.ackAll();
  assert.deepEqual(client.told(), ['Cluster +a +b +c', 'Cluster +a +c', 'Cluster +a', 'Routes +r']);
  assert.deepEqual(
    client.stream.refused.map(({ name }) => name),
    ['b', 'c'],
  );
  assert.equal(client.stream.settledSequence, 2);
});

test('a cluster that never answers holds routes up only for so long', () => {
  const client = settledClient([C, 'a', '1']);
  client.update([resource(C, 'a', '2'), resource(R, 'r', '1')]);
  mock.timers.tick(gateTimeoutMs - 1);
  assert.deepEqual(client.told(), ['Cluster +a']);
  mock.timers.tick(1);
  assert.deepEqual(client.told(), ['Cluster +a', 'Routes +r']);
});

test('removals come last, in reverse order, each after the answer to the one before', () => {
  const client = settledClient([C, 'a', '1'], [E, 'a', '1'], [R, 'r', '1'], [R, 's', '1']);
  client.update(
    [resource(R, 'r', '2')],
    [C, E].map(typeUrl => ({ typeUrl, name: 'a' })).concat({ typeUrl: R, name: 's' }),
  );
  const steps = ['Routes +r', 'Routes -s', 'Endpoints -a', 'Cluster -a'];
  for (const [done, step] of steps.entries()) {
    assert.deepEqual(client.told(), steps.slice(0, done + 1));
    client.ack(`t/${step.split(' ')[0]}`);
  }
  assert.deepEqual(client.told(), steps);
});

test('a removal waits for upserts of its update, not for later ones', () => {
  const client = settledClient([C, 'a', '1'], [C, 'b', '1']);
  client.update([resource(E, 'b', '1')], [{ typeUrl: C, name: 'a' }]);
  client.update([resource(E, 'b', '2')]);
  assert.deepEqual(client.told(), ['Endpoints +b']);
  client.ack(E);
  assert.deepEqual(client.told(), ['Endpoints +b', 'Endpoints +b', 'Cluster -a']);
});

test('a cluster removed while a change of it is unsent still waits for the route to go first', () => {
  const client = settledClient([C, 'a', '1'], [R, 'r', 'to a']);
  client.update([resource(C, 'a', '2')]);
  client.update([resource(C, 'a', '3')]);
  client.update([resource(R, 'r', 'to none')], [{ typeUrl: C, name: 'a' }]);
  client.ack(C);
  assert.deepEqual(client.told(), ['Cluster +a', 'Routes +r']);
  client.ack(R);
  assert.deepEqual(client.told(), ['Cluster +a', 'Routes +r', 'Cluster -a']);
});

test('on a new stream, an old route waits for a cluster that the client lacks, however new its version', () => {
  const client = settledClient([C, 'z', '1']);
  client.update([resource(C, 'a', '1'), resource(R, 'r', 'to a')]);
  client.update([resource(C, 'a', '2')]);
  client.reconnect();
  client.subscribe(C, [], true);
  client.subscribe(R, ['r'], true);
  assert.deepEqual(client.told(), ['Cluster +a']);
  client.ack(C);
  assert.deepEqual(client.told(), ['Cluster +a', 'Routes +r']);
});

test('a changed cluster has its endpoints sent again after it, if the client asked for them', () => {
  const client = new SimulatedClient(order);
  client.update([resource(C, 'a', '1'), resource(C, 'b', '1'), resource(E, 'a', '1'), resource(E, 'b', '1')]);
  client.subscribe(C);
  client.subscribe(E, ['a']);
  client.ackAll();
  client.received = [];
  client.update([resource(C, 'a', '2'), resource(C, 'b', '2')]);
  client.ackAll();
  assert.deepEqual(client.told(), ['Cluster +a +b', 'Endpoints +a']);
});

test('a changed cluster whose endpoints do not exist is answered so, if the client asked for them by name', () => {
  const client = new SimulatedClient(order);
  client.update([resource(C, 'a', '1')]);
  client.subscribe(C);
  client.subscribe(E, ['a']);
  client.ackAll();
  client.update([resource(C, 'a', '2')]);
  client.ackAll();
  assert.deepEqual(client.told(), ['Cluster +a', 'Endpoints -a', 'Cluster +a', 'Endpoints -a']);
});

test('endpoints of a cluster that changed while the client was away are sent again, though it holds them', () => {
  const client = settledClient([C, 'a', '1'], [E, 'a', '1']);
  client.reconnect();
  client.update([resource(C, 'a', '2')]);
  client.subscribe(C, [], true);
  client.subscribe(E, ['a'], true);
  assert.deepEqual(client.told(), ['Cluster +a', 'Endpoints +a']);
});

test('on a new stream removals wait for the client to name its types, but not for ever', () => {
  const client = settledClient([C, 'a', '1'], [R, 'r', '1']);
  client.reconnect();
  client.update([], [{ typeUrl: C, name: 'a' }]);
  client.subscribe(C, [], true);
  client.subscribe(R, ['r'], true);
  client.ackAll();
  assert.deepEqual(client.told(), []);
  mock.timers.tick(removalHoldMs);
  assert.deepEqual(client.told(), ['Cluster -a']);
});
