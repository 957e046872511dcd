import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Members } from './priority-group.ts';
import { Remembered } from './remembered.ts';

const membersOf = (key: string): Members => ({
  key,
  backends: [],
  slots: new Int32Array(),
  names: [],
  backendOf: new Int32Array(),
  capacities: new Float64Array(),
  even: true,
});

describe('remembered', () => {
  const start = () =>
    new Remembered<{ members: Members; versions: number }>(
      members => ({ members, versions: 1 }),
      (state, members) => ({ members, versions: state.versions + 1 }),
    );

  it('makes a state once, and adapts it once to every new set of members', () => {
    const remembered = start();
    const [first, second] = [membersOf('a'), membersOf('a')];
    const state = remembered.for(first);
    assert.equal(remembered.for(first), state);
    assert.equal(remembered.for(second).versions, 2);
    assert.equal(remembered.for(second).versions, 2);
    assert.equal(remembered.for(membersOf('b')).versions, 1);
  });

  it('forgets the oldest of more than ten thousand choices', () => {
    const remembered = start();
    const [oldest, second] = [membersOf('0'), membersOf('1')];
    const [oldestState, secondState] = [remembered.for(oldest), remembered.for(second)];
    for (let key = 2; key < 10_000; key++) remembered.for(membersOf(`${key}`));
    assert.equal(remembered.for(oldest), oldestState);
    remembered.for(membersOf('one more'));
    assert.equal(remembered.for(second), secondState);
    assert.notEqual(remembered.for(oldest), oldestState);
  });
});
