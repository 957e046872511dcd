import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Pod } from '../source/cluster-state.ts';
import { PodIndex, selectorTerms } from './pod-index.ts';
import { clusterState, pod } from './test-state.fixture.ts';

const labels = fc.dictionary(fc.constantFrom('app', 'tier', 'zone'), fc.constantFrom('x', 'y'), { maxKeys: 3 });
const namespaces = fc.constantFrom('ml', 'prod');

const pods = fc
  .uniqueArray(fc.record({ namespace: namespaces, name: fc.constantFrom('p1', 'p2', 'p3', 'p4', 'p5'), labels }), {
    selector: ({ namespace, name }) => `${namespace}/${name}`,
  })
  .map(list => list.map(({ namespace, name, labels }) => pod(`${namespace}/${name}`, '', '10.0.0.1', { labels })));

test('a selector finds exactly its pods, and is touched whenever they are others, through any sequence of changes', () => {
  fc.assert(
    fc.property(fc.array(pods, { minLength: 1, maxLength: 5 }), namespaces, labels, (sequence, namespace, wanted) => {
      fc.pre(Object.keys(wanted).length > 0);
      const terms = selectorTerms(namespace, wanted);
      const index = new PodIndex();
      let before: Pod[] = [];
      for (const list of sequence) {
        const touched = index.update(clusterState([], list).pods);
        const expected = list.filter(
          p => p.namespace === namespace && Object.entries(wanted).every(([label, value]) => p.labels[label] === value),
        );
        const found = index.select(terms, wanted);
        assert.deepEqual(new Set(found), new Set(expected));
        assert.equal(found.length, expected.length);
        const same = found.length === before.length && found.every(p => before.includes(p));
        assert.ok(same || terms.every(term => touched.has(term)));
        before = found;
      }
    }),
  );
});

test('a pod that changes touches its own terms and no others', () => {
  const other = pod('ml/b', 'y', '10.0.0.2');
  const index = new PodIndex();
  index.update(clusterState([], [pod('ml/a', 'x', '10.0.0.1'), other]).pods);
  const touched = index.update(clusterState([], [pod('ml/a', 'x', '10.0.0.9'), other]).pods);
  assert.deepEqual([...touched], selectorTerms('ml', { app: 'x' }));
});
