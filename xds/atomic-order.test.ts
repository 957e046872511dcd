import assert from 'node:assert/strict';
import { test } from 'node:test';
import { atomic } from './atomic-order.ts';
import { responseTargetBytes } from './limits.ts';
import { resource, SimulatedClient } from './simulated-client.ts';

const order = atomic({ types: ['t/A', 't/B'], completedBy: 't/V' });

function types(simulated: SimulatedClient): string[] {
  return simulated.received.map(({ typeUrl }) => typeUrl);
}

test('all types go at once, the completing one last; the next update waits until all are answered', () => {
  const simulated = new SimulatedClient(order);
  simulated.update([resource('t/V', 'v', '1')]);
  for (const type of ['t/A', 't/B', 't/V']) simulated.subscribe(type);
  simulated.ackAll();
  simulated.received = [];
  simulated.update([resource('t/V', 'v', '2'), resource('t/B', 'b', '1'), resource('t/A', 'a', '1')]);
  assert.deepEqual(types(simulated), ['t/A', 't/B', 't/V']);
  simulated.update([resource('t/V', 'v', '3'), resource('t/A', 'a', '2')]);
  simulated.ack('t/A');
  simulated.ack('t/B');
  assert.deepEqual(types(simulated), ['t/A', 't/B', 't/V']);
  simulated.ack('t/V');
  assert.deepEqual(types(simulated), ['t/A', 't/B', 't/V', 't/A', 't/V']);
});

test('the completing type waits for all parts of an answer too large for one response', () => {
  const simulated = new SimulatedClient(order);
  const body = Buffer.alloc(responseTargetBytes);
  const large = ['a', 'b', 'c'].map(name => ({ typeUrl: 't/A', name, version: '1', body }));
  for (const type of ['t/A', 't/B', 't/V']) simulated.subscribe(type);
  simulated.update([...large, resource('t/V', 'v', '1')]);
  simulated.ackAll();
  assert.deepEqual(
    types(simulated).filter(type => type !== 't/B'),
    ['t/A', 't/A', 't/A', 't/V'],
  );
});

test('an update that changes nothing is neither sent nor counted', () => {
  const simulated = new SimulatedClient(order);
  simulated.update([resource('t/A', 'a', '1')]);
  for (const type of ['t/A', 't/B', 't/V']) simulated.subscribe(type);
  simulated.ackAll();
  const { length } = simulated.received;
  simulated.update([resource('t/A', 'a', '1')], [{ typeUrl: 't/A', name: 'never there' }]);
  assert.equal(simulated.store.sequence, 1);
  assert.equal(simulated.received.length, length);
});
