import assert from 'node:assert/strict';
import { test } from 'node:test';
import { movedListeners } from './moved-listeners.ts';

const listeners = (places: Readonly<Record<string, string>>) =>
  new Map(
    Object.entries(places).map(([name, place]) => {
      const [address = '', portValue = 0] = place.split(':');
      return [name, { name, address: { socketAddress: { address, portValue: Number(portValue) } } }];
    }),
  );
const moved = (before: Readonly<Record<string, string>>, next: Readonly<Record<string, string>>) => [
  ...movedListeners(listeners(before), listeners(next)),
];

test('a listener that comes to a port at another address is moved, under whichever name', () => {
  assert.deepEqual(moved({ http: '127.0.0.1:80' }, { http: '0.0.0.0:80' }), ['http']);
  assert.deepEqual(moved({ http: '0.0.0.0:80', other: '0.0.0.0:81' }, { web: '127.0.0.1:80', other: '0.0.0.0:81' }), [
    'web',
  ]);
});

test('one that stays, is new or comes to another port is not', () => {
  assert.deepEqual(moved({}, { http: '0.0.0.0:80' }), []);
  assert.deepEqual(moved({ http: '0.0.0.0:80' }, { http: '0.0.0.0:80' }), []);
  assert.deepEqual(moved({ http: '0.0.0.0:80' }, { http: '0.0.0.0:81' }), []);
  assert.deepEqual(moved({ http: '0.0.0.0:80' }, { web: '0.0.0.0:80' }), []);
  assert.deepEqual(moved({ http: '0.0.0.0:80' }, {}), []);
});
