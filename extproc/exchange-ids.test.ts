import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ExchangeIds } from './exchange-ids.ts';

test('ids are all different, and each process knows its own', () => {
  const [one, other] = [new ExchangeIds(), new ExchangeIds()];
  const ids = [one, other].map(({ next }) => Array.from({ length: 100 }, next));
  assert.equal(new Set(ids.flat()).size, 200);
  for (const id of ids[0] ?? []) assert.deepEqual([one.isOwn(id), other.isOwn(id)], [true, false]);
  assert.equal(one.isOwn(''), false);
});
