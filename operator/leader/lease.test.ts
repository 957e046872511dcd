import assert from 'node:assert/strict';
import { test } from 'node:test';
import { heldLease, type Lease, readLease, releasedLease } from './lease.ts';

const NOW = new Date('2026-01-02T03:04:05.678Z');
const MICROS = '2026-01-02T03:04:05.678000Z';

const read = (spec: unknown): Lease =>
  readLease({ metadata: { resourceVersion: '7', labels: { a: 'b' } }, spec }) ?? assert.fail('it cannot be read');

test('the first lease', () => {
  assert.deepEqual(heldLease(undefined, 'a', 15_000, NOW), {
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: {},
    spec: {
      holderIdentity: 'a',
      leaseDurationSeconds: 15,
      acquireTime: MICROS,
      renewTime: MICROS,
      leaseTransitions: 0,
    },
  });
});

test('a renewal keeps when it was acquired and how often it changed hands; a takeover does not', () => {
  const before = read({ holderIdentity: 'a', acquireTime: 'then', leaseTransitions: 3, strategy: 'kept' });
  const { metadata, spec } = heldLease(before, 'a', 1_500, NOW);
  assert.deepEqual(metadata, { resourceVersion: '7', labels: { a: 'b' } });
  assert.deepEqual(spec, {
    holderIdentity: 'a',
    leaseDurationSeconds: 2,
    acquireTime: 'then',
    renewTime: MICROS,
    leaseTransitions: 3,
    strategy: 'kept',
  });
  const { spec: taken } = heldLease(before, 'b', 15_000, NOW);
  assert.deepEqual(taken, {
    ...(spec as object),
    holderIdentity: 'b',
    leaseDurationSeconds: 15,
    acquireTime: MICROS,
    leaseTransitions: 4,
  });
});

test('a release keeps the count', () => {
  const { spec } = releasedLease(read({ holderIdentity: 'a', leaseTransitions: 3 }), NOW);
  assert.deepEqual(spec, {
    holderIdentity: '',
    leaseDurationSeconds: 1,
    acquireTime: MICROS,
    renewTime: MICROS,
    leaseTransitions: 3,
  });
});

test('whatever the fields hold, it is read, and what is written is a lease again', () => {
  for (const spec of [
    undefined,
    null,
    {},
    { holderIdentity: 7, leaseDurationSeconds: 'x', leaseTransitions: 'y', acquireTime: 1 },
  ]) {
    const lease = read(spec);
    assert.equal(lease.holder, '');
    assert.equal(lease.durationMs, 0);
    const written = heldLease(lease, 'a', 15_000, NOW).spec as Record<string, unknown>;
    assert.equal(written.leaseTransitions, 1);
    assert.equal(written.acquireTime, MICROS);
  }
  const most = heldLease(read({ leaseTransitions: 2_147_483_647 }), 'a', 15_000, NOW).spec as Record<string, unknown>;
  assert.equal(most.leaseTransitions, 2_147_483_647);
  for (const none of [undefined, null, 'text', {}, { metadata: {} }]) assert.equal(readLease(none), undefined);
});
