import assert from 'node:assert/strict';
import { suite, type TestContext, test } from 'node:test';
import { keepModel } from './declared-object.ts';
import { ResolvedModels } from './resolved-models.ts';

/** Nothing here takes this long; it only ends a test that would hang, milliseconds. */
const timeout = 20_000;

function models(...hosts: readonly string[]) {
  const declared = hosts.map(host => {
    const metadata = { namespace: 'ml', name: host, uid: host, resourceVersion: '1', creationTimestamp: '2026-01-01' };
    const kept = keepModel({ metadata, spec: { backends: [{ name: 'b', endpoints: [`${host}:80`] }] } }, undefined);
    return kept?.declared ?? assert.fail('refused');
  });
  return new Map(declared.map(one => [`ml/${one.name}`, one]));
}

/** A resolver whose answers the test gives. */
function resolving(t: TestContext) {
  const asked = new Map<string, PromiseWithResolvers<string>>();
  let rung = Promise.withResolvers<void>();
  const resolved = new ResolvedModels(
    host => {
      const answer = Promise.withResolvers<string>();
      asked.set(host, answer);
      return answer.promise;
    },
    () => {
      rung.resolve();
      rung = Promise.withResolvers();
    },
  );
  t.after(() => resolved.stop());
  const answer = async (host: string, ip: string) => {
    const { promise } = rung;
    (asked.get(host) ?? assert.fail(`${host} was not asked for`)).resolve(ip);
    await promise;
  };
  return { resolved, asked, answer };
}

suite('models with host names', { timeout }, () => {
  test('are not held back when their endpoints are addresses', t => {
    const { resolved } = resolving(t);
    const latest = models('10.0.0.1');
    assert.equal(resolved.read(latest)?.modelDeployments, latest);
  });

  test('wait for their addresses, and those before them are told meanwhile', async t => {
    const { resolved, answer } = resolving(t);
    const before = models('10.0.0.1');
    resolved.read(before);
    const latest = models('10.0.0.1', 'gpu');
    assert.equal(resolved.read(latest)?.modelDeployments, before);
    await answer('gpu', '10.0.0.2');
    while (resolved.read(latest)?.modelDeployments !== latest) await Promise.resolve();
    assert.deepEqual(resolved.read(latest)?.hosts.get('gpu'), { ip: '10.0.0.2' });
  });

  test('keep the addresses of the names that they had until those that replace them are known', async t => {
    const { resolved, answer } = resolving(t);
    const before = models('old');
    assert.equal(resolved.read(before), undefined);
    await answer('old', '10.0.0.1');
    while (resolved.read(before) === undefined) await Promise.resolve();
    const latest = models('new');
    assert.deepEqual([...(resolved.read(latest)?.hosts.keys() ?? [])], ['old']);
    await answer('new', '10.0.0.2');
    while (resolved.read(latest)?.modelDeployments !== latest) await Promise.resolve();
    assert.deepEqual([...(resolved.read(latest)?.hosts ?? [])], [['new', { ip: '10.0.0.2' }]]);
  });
});
