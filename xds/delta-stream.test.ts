import assert from 'node:assert/strict';
import { afterEach, beforeEach, mock, test } from 'node:test';
import { removalHoldMs, responseTargetBytes } from './limits.ts';
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

test('a server without state says nothing, not even that there is nothing', () => {
  const client = new SimulatedClient(order);
  client.subscribe(C);
  assert.deepEqual(client.told(), []);
  client.update([resource(E, 'x', '1')]);
  assert.deepEqual(client.told(), ['Cluster']);
});

test('a wildcard is answered even if there is nothing of its type', () => {
  const client = new SimulatedClient(order);
  client.update([resource(C, 'a', '1')]);
  client.subscribe(R);
  assert.deepEqual(client.told(), ['Routes']);
});

test('a name that does not exist is answered as removed, and sent when it comes to be', () => {
  const client = settledClient([C, 'a', '1']);
  const named = new SimulatedClient(order, client.store);
  named.subscribe(E, ['x']);
  assert.deepEqual(named.told(), ['Endpoints -x']);
  named.ackAll();
  named.update([resource(E, 'x', '1'), resource(E, 'y', '1')]);
  assert.deepEqual(named.told(), ['Endpoints -x', 'Endpoints +x']);
});

test('a type that nobody declared is answered as empty', () => {
  const client = settledClient([C, 'a', '1']);
  client.subscribe('t/Secret', ['s']);
  client.subscribe('t/Runtime');
  assert.deepEqual(client.told(), ['Secret -s', 'Runtime']);
});

test('a name asked for again is sent again', () => {
  const client = settledClient([C, 'a', '1']);
  client.subscribe(C, ['a']);
  assert.deepEqual(client.told(), ['Cluster +a']);
});

test('a name given up under a wildcard is answered', () => {
  const client = settledClient([C, 'a', '1']);
  client.subscribe(C, ['a', 'b']);
  client.ackAll();
  client.unsubscribe(C, ['a', 'b']);
  assert.deepEqual(client.told().at(-1), 'Cluster +a -b');
});

test('what was given up is not sent any more, and sent whole when asked for again', () => {
  const client = new SimulatedClient(order);
  client.update([resource(E, 'x', '1')]);
  client.subscribe(E, ['x']);
  client.ackAll();
  client.unsubscribe(E, ['x']);
  client.update([resource(E, 'x', '2')]);
  assert.deepEqual(client.told(), ['Endpoints +x']);
  client.subscribe(E, ['x']);
  assert.deepEqual(client.told(), ['Endpoints +x', 'Endpoints +x']);
});

test('while a response is in flight, changes add up to the latest', () => {
  const client = settledClient([C, 'a', '1']);
  client.update([resource(C, 'a', '2')]);
  client.update([resource(C, 'a', '3'), resource(C, 'b', '1')]);
  client.update([resource(C, 'a', '4')], [{ typeUrl: C, name: 'b' }]);
  client.ackAll();
  assert.deepEqual(client.told(), ['Cluster +a', 'Cluster +a']);
  assert.equal(client.held.get(C)?.get('a'), '4');
});

test('a change and its undoing are not sent', () => {
  const client = settledClient([C, 'a', '1'], [C, 'b', '1']);
  client.update([resource(C, 'b', '2')]);
  client.update([resource(C, 'a', '2')]);
  client.update([resource(C, 'a', '1')]);
  client.ackAll();
  assert.deepEqual(client.told(), ['Cluster +b']);
});

test('a stale answer counts for nothing, but its subscription does', () => {
  const client = settledClient([C, 'a', '1']);
  const named = new SimulatedClient(order, client.store);
  named.subscribe(E, ['x']);
  const nonce = named.received[0]?.nonce;
  named.ackAll();
  named.update([resource(E, 'x', '1')]);
  assert.equal(named.waiting.length, 1);
  named.stream.receive({
    $typeName: 'envoy.service.discovery.v3.DeltaDiscoveryRequest',
    typeUrl: E,
    resourceNamesSubscribe: ['y'],
    resourceNamesUnsubscribe: [],
    initialResourceVersions: {},
    responseNonce: nonce as string,
  });
  assert.equal(named.waiting.length, 1);
  named.ackAll();
  assert.deepEqual(named.told(), ['Endpoints -x', 'Endpoints +x', 'Endpoints -y']);
});

test('on resume only differences are sent', () => {
  const client = settledClient([C, 'a', '1'], [C, 'b', '1'], [E, 'x', '1'], [R, 'r', '1']);
  client.reconnect();
  client.update([resource(C, 'b', '2')], [{ typeUrl: C, name: 'a' }]);
  client.subscribe(C, [], true);
  client.subscribe(E, ['x'], true);
  client.subscribe(R, ['r'], true);
  client.ackAll();
  assert.deepEqual(client.told(), ['Cluster +b', 'Cluster -a']);
  assert.equal(client.stream.settledSequence, client.store.sequence);
});

test('on resume with named types, a name gone meanwhile is removed', () => {
  const client = settledClient([C, 'a', '1'], [E, 'x', '1']);
  client.reconnect();
  client.update([], [{ typeUrl: E, name: 'x' }]);
  client.subscribe(C, [], true);
  client.subscribe(E, ['x'], true);
  client.subscribe(R, ['r'], true);
  client.ackAll();
  assert.deepEqual(client.told(), ['Cluster', 'Routes -r', 'Endpoints -x']);
});

test('an answer too large for one response comes in several', () => {
  const client = new SimulatedClient(order);
  const body = Buffer.alloc(responseTargetBytes / 2);
  client.update(['a', 'b', 'c', 'd', 'e'].map(name => ({ typeUrl: C, name, version: '1', body })));
  client.subscribe(C);
  client.ackAll();
  assert.deepEqual(client.told(), ['Cluster +a +b', 'Cluster +c +d', 'Cluster +e']);
});

test('a client has settled nothing before it knows its types, then what it answered', () => {
  const client = new SimulatedClient(order);
  client.update([resource(C, 'a', '1'), resource(R, 'r', '1')]);
  client.subscribe(C);
  client.ackAll();
  assert.equal(client.stream.settledSequence, -1);
  client.subscribe(R, ['r']);
  assert.equal(client.stream.settledSequence, -1);
  client.ackAll();
  assert.equal(client.stream.settledSequence, 1);
  client.update([resource(C, 'a', '2')]);
  client.update([resource(C, 'b', '1')]);
  assert.equal(client.stream.settledSequence, 1);
  client.ack(C);
  assert.equal(client.stream.settledSequence, 2);
  client.ack(C);
  assert.equal(client.stream.settledSequence, 3);
});

const anyOf = (typeUrl: string, name: string) => ({ typeUrl, name, version: undefined });

test('what is withheld stays with a client that resumes with it, until it comes or goes', () => {
  const client = settledClient([C, 'a', '1'], [C, 'b', '1'], [C, 'c', '1'], [E, 'x', '1']);
  const other = new SimulatedClient(order);
  other.held.set(C, client.held.get(C) ?? new Map());
  other.update([], [], [anyOf(C, 'a'), anyOf(C, 'b'), anyOf(C, 'c')]);
  for (const type of [C, E, R]) other.subscribe(type, [], true);
  other.ackAll();
  mock.timers.tick(removalHoldMs);
  assert.deepEqual(other.told(), ['Cluster', 'Endpoints', 'Routes']);
  assert.equal(other.stream.settledSequence, 1);
  other.update([resource(C, 'a', '1'), resource(C, 'b', '2')], [{ typeUrl: C, name: 'c' }]);
  other.ackAll();
  assert.deepEqual(other.told().slice(3), ['Cluster +b', 'Cluster -c']);
});

test('what is withheld is not told to a client that has none, asked or not, until it comes', () => {
  const client = new SimulatedClient(order);
  client.update([], [], [anyOf(C, 'a'), anyOf(E, 'x')]);
  client.subscribe(C);
  client.subscribe(E, ['x']);
  client.ackAll();
  assert.deepEqual(client.told(), ['Cluster']);
  client.update([resource(C, 'a', '1'), resource(E, 'x', '1')]);
  client.ackAll();
  assert.deepEqual(client.told(), ['Cluster', 'Cluster +a', 'Endpoints +x']);
});

test('of a resource withheld in one version, another one is removed', () => {
  const client = settledClient([C, 'a', '1'], [C, 'b', '1']);
  const withheld = ['a', 'b'].map(name => ({ typeUrl: C, name, version: name === 'a' ? '1' : '2' }));
  client.update([], [], withheld);
  client.ackAll();
  assert.deepEqual(client.told(), ['Cluster -b']);
  assert.equal(client.stream.settledSequence, client.store.sequence);
});
