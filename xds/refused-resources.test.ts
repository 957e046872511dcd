import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RefusedResources } from './refused-resources.ts';

const TYPE = 't/Cluster';

function refusedAfter(names: string[], message: string): string[] {
  const refused = new RefusedResources();
  refused.refuse(TYPE, names, message);
  return refused.list().map(({ name }) => name);
}

test('the words decide which resources of a refused response are at fault', () => {
  const names = ['ml/llama', 'ml/llama-3', 'ml/qwen'];
  for (const [message, blamed] of [
    ['Error adding/updating cluster(s) ml/llama: bad address', ['ml/llama']],
    ['Error adding/updating cluster(s) ml/llama-3: bad address', ['ml/llama-3']],
    ['"ml/qwen": no timeouts; "ml/llama": two backends', ['ml/llama', 'ml/qwen']],
    ['malformed', names],
  ] as const) {
    assert.deepEqual(refusedAfter(names, message), blamed, message);
  }
});

test('what was accepted, or taken back, is no longer refused; the rest stays so', () => {
  const refused = new RefusedResources();
  refused.refuse(TYPE, ['a', 'b'], 'no');
  refused.settle(TYPE, ['a']);
  assert.deepEqual(refused.list(), [{ typeUrl: TYPE, name: 'b', message: 'no' }]);
  refused.settle('t/Other', ['b']);
  assert.equal(refused.list().length, 1);
});

test('a resource refused before and not blamed now is accepted', () => {
  const refused = new RefusedResources();
  refused.refuse(TYPE, ['a', 'b'], 'a: no');
  refused.refuse(TYPE, ['a', 'b'], 'b: no');
  assert.deepEqual(refused.list(), [{ typeUrl: TYPE, name: 'b', message: 'b: no' }]);
});

test('a refused response without resources is told, and not kept', () => {
  const refused = new RefusedResources();
  assert.deepEqual(refused.refuse(TYPE, [], 'cannot remove x'), [
    { typeUrl: TYPE, name: '', message: 'cannot remove x' },
  ]);
  assert.deepEqual(refused.list(), []);
});
