import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Subscription } from './subscription.ts';

test('a first request without names, and "*", both mean everything', () => {
  for (const names of [[], ['*']]) {
    const subscription = new Subscription();
    assert.equal(subscription.started, false);
    assert.equal(subscription.change(names, []).everything, true);
    assert.equal(subscription.started, true);
    assert.ok(subscription.covers('anything'));
  }
});

test('a later request without names changes nothing', () => {
  const subscription = new Subscription();
  subscription.change(['a'], []);
  assert.deepEqual(subscription.change([], []), { everything: false, asked: [], wildcardEnded: false, left: [] });
  assert.ok(subscription.covers('a'));
  assert.ok(!subscription.covers('b'));
});

test('a name asked for twice is to be answered twice', () => {
  const subscription = new Subscription();
  assert.deepEqual(subscription.change(['a'], []).asked, ['a']);
  assert.deepEqual(subscription.change(['a'], []).asked, ['a']);
});

test('a name given up is left, unless the wildcard covers it: then it is to be answered', () => {
  const named = new Subscription();
  named.change(['a', 'b'], []);
  assert.deepEqual(named.change([], ['a']).left, ['a']);
  assert.ok(!named.covers('a'));
  const all = new Subscription();
  all.change(['*', 'a'], []);
  const change = all.change([], ['a']);
  assert.deepEqual([change.left, change.asked], [[], ['a']]);
  assert.ok(all.covers('a'));
});

test('giving up the wildcard keeps what is named', () => {
  const subscription = new Subscription();
  subscription.change([], []);
  subscription.change(['a'], []);
  assert.equal(subscription.change([], ['*']).wildcardEnded, true);
  assert.ok(subscription.covers('a'));
  assert.ok(!subscription.covers('b'));
  assert.equal(subscription.change([], ['*']).wildcardEnded, false);
});

test('the wildcard and a name given up in one request: the name is left', () => {
  const subscription = new Subscription();
  subscription.change(['*', 'a'], []);
  const change = subscription.change([], ['*', 'a']);
  assert.deepEqual(change.left, ['a']);
  assert.ok(!subscription.covers('a'));
});
