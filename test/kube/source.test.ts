import assert from 'node:assert/strict';
import { after, before, suite, type TestContext, test } from 'node:test';
import fc from 'fast-check';
import { kubeConfigAccess } from '../../operator/api/api-access.ts';
import { ApiConnection, MERGE_PATCH } from '../../operator/api/api-connection.ts';
import type { ApiObject } from '../../operator/source/kubernetes/api-object.ts';
import { followCollection, type ListWatchEvent } from '../../operator/source/kubernetes/list-watch.ts';
import { listPages } from '../../operator/source/kubernetes/paged-list.ts';
import { keepPod, POD_COLLECTION } from '../../operator/source/kubernetes/pod-facts.ts';
import { Replica } from '../../operator/source/kubernetes/replica.ts';
import { type ClusterReading, type SourceEvent, watchCluster } from '../../operator/source/kubernetes.ts';
import { ApiObjects, apiOf, kubeConfigOf, modelDocument } from './api-objects.ts';
import { Cluster } from './cluster.ts';
import { TcpProxy } from './tcp-proxy.ts';

/** Nothing here takes this long; it only ends a test that would hang, milliseconds. */
const timeout = 90_000;
/** Short, so that a frozen connection is found within a test, milliseconds. */
const IDLE_MS = 3_000;

suite('the source on a real API server', { timeout: 6 * timeout }, () => {
  let cluster: Cluster;
  let objects: ApiObjects;
  let proxy: TcpProxy;

  before(async () => {
    cluster = await Cluster.start();
    objects = new ApiObjects(cluster);
    proxy = await TcpProxy.start(Number(new URL(cluster.server).port));
    await objects.prepare('ml', 'other');
  });

  after(() => {
    proxy?.stop();
    cluster?.stop();
  });

  /** A watch through the proxy, whose readings can be waited for. */
  async function watching(t: TestContext, namespaces?: readonly string[]) {
    const abort = new AbortController();
    const readings: ClusterReading[] = [];
    const events: SourceEvent[] = [];
    let told = Promise.withResolvers<void>();
    const watch = await watchCluster({
      api: apiOf(cluster, `https://127.0.0.1:${proxy.port}`, IDLE_MS),
      ...(namespaces && { namespaces }),
      signal: abort.signal,
      onEvent: event => events.push(event),
      onState: reading => {
        readings.push(reading);
        told.resolve();
        told = Promise.withResolvers();
      },
    });
    t.after(async () => {
      abort.abort();
      await watch.ended;
    });
    const latest = () => readings.at(-1) ?? assert.fail('no state was told');
    const until = async (holds: (reading: ClusterReading) => boolean): Promise<ClusterReading> => {
      while (!holds(latest())) await told.promise;
      return latest();
    };
    return { readings, events, latest, until };
  }

  /** What a watch that begins now is told first. */
  async function freshList(namespaces?: readonly string[]): Promise<ClusterReading> {
    const abort = new AbortController();
    let first: ClusterReading | undefined;
    const watch = await watchCluster({
      api: apiOf(cluster),
      ...(namespaces && { namespaces }),
      signal: abort.signal,
      onState: reading => {
        first ??= reading;
      },
    });
    abort.abort();
    await watch.ended;
    return first ?? assert.fail('no state was told');
  }

  test('follows pods as they come, get ready, change their address, leave and go', { timeout }, async t => {
    const { until } = await watching(t);
    const pod = ({ state }: ClusterReading) => state.pods.get('ml/a');
    await objects.createPod('ml', 'a', { app: 'llama' });
    const created = pod(await until(reading => pod(reading) !== undefined));
    const { uid, ...facts } = created ?? assert.fail('no pod');
    const common = { namespace: 'ml', name: 'a', labels: { app: 'llama' }, terminating: false, ports: [8_000] };
    assert.deepEqual(facts, { ...common, ip: undefined, ready: false });
    await objects.podStatus('ml', 'a', '127.0.5.1', true);
    await until(reading => pod(reading)?.ready === true && pod(reading)?.ip === '127.0.5.1');
    await objects.podStatus('ml', 'a', '127.0.5.2', false);
    await until(reading => pod(reading)?.ready === false && pod(reading)?.ip === '127.0.5.2');
    await objects.deletePod('ml', 'a', 'graceful');
    await until(reading => pod(reading)?.terminating === true);
    await objects.deletePod('ml', 'a', 'now');
    await until(reading => pod(reading) === undefined);
    await objects.createPod('ml', 'a');
    const again = await until(reading => pod(reading) !== undefined);
    assert.notEqual(pod(again)?.uid, uid, 'another pod of the same name');
    await objects.podStatus('ml', 'a', '127.0.5.3', false, 'Succeeded');
    await until(reading => pod(reading) === undefined);
    await objects.deletePod('ml', 'a', 'now');
  });

  test('follows ModelDeployments; one that changes leaves the others the objects they were', { timeout }, async t => {
    const { until } = await watching(t);
    await objects.apply(modelDocument('ml', 'a'), modelDocument('ml', 'b'));
    const { state: first } = await until(({ state }) => state.modelDeployments.size === 2);
    const { generation, origin, createdAtMs } = first.modelDeployments.get('ml/a') ?? assert.fail('no model');
    const metadata = JSON.parse(await cluster.kubectl(['get', 'md', 'a', '-n', 'ml', '-o', 'json'])) as ApiObject;
    assert.deepEqual(origin, { kind: 'object', uid: metadata.metadata.uid });
    assert.equal(createdAtMs, Date.parse(metadata.metadata.creationTimestamp));
    await objects.apply(modelDocument('ml', 'a', { model: 'org/renamed' }));
    const { state: second } = await until(
      ({ state }) => state.modelDeployments.get('ml/a')?.spec.model === 'org/renamed',
    );
    assert.equal(second.modelDeployments.get('ml/a')?.generation, generation + 1);
    assert.equal(second.modelDeployments.get('ml/b'), first.modelDeployments.get('ml/b'));
    assert.equal(second.pods, first.pods);
    await cluster.kubectl(['label', 'md', 'a', '-n', 'ml', 'free=touse']);
    await objects.delete('md', 'ml', 'a');
    const { state: third } = await until(({ state }) => !state.modelDeployments.has('ml/a'));
    assert.deepEqual([...third.modelDeployments.keys()], ['ml/b']);
    await objects.delete('md', 'ml', 'b');
  });

  test('an object that an older definition let pass is refused and told; the others are served', {
    timeout,
  }, async t => {
    const { until } = await watching(t);
    const file = 'modeldeployments.fairlead.dev';
    const path = '/spec/versions/0/schema/openAPIV3Schema';
    const schema = await cluster.kubectl(['get', 'crd', file, '-o', 'json']);
    const { spec } = JSON.parse(schema) as { spec: { versions: [{ schema: { openAPIV3Schema: object } }] } };
    const replace = (value: object) =>
      cluster.kubectl(['patch', 'crd', file, '--type=json', '-p', JSON.stringify([{ op: 'replace', path, value }])]);
    await replace({ type: 'object', 'x-kubernetes-preserve-unknown-fields': true });
    // The API server takes the new definition up a moment later.
    const bad = modelDocument('ml', 'bad', { backends: [] });
    for (let applied = false; !applied; ) {
      applied = await objects.apply(bad).then(
        () => true,
        () => false,
      );
    }
    await objects.apply(modelDocument('ml', 'good'));
    const { state, refused } = await until(
      reading => reading.refused.length > 0 && reading.state.modelDeployments.size > 0,
    );
    assert.deepEqual([...state.modelDeployments.keys()], ['ml/good']);
    const [only] = refused;
    assert.deepEqual([only?.kind, only?.namespace, only?.name, only?.generation], ['ModelDeployment', 'ml', 'bad', 1]);
    assert.deepEqual(
      only?.problems.map(problem => problem.path),
      [['spec', 'backends']],
    );
    await objects.apply(modelDocument('ml', 'bad'));
    await until(reading => reading.refused.length === 0 && reading.state.modelDeployments.has('ml/bad'));
    await replace(spec.versions[0].schema.openAPIV3Schema);
    await objects.delete('md', 'ml', 'bad');
    await objects.delete('md', 'ml', 'good');
  });

  test('a gateway that breaks is kept, and to whoever begins then, or when it goes, nobody may call', {
    timeout,
  }, async t => {
    const { until } = await watching(t);
    const jwksUrl = 'https://id.example/jwks.json';
    const gateway = (issuer: string) => ({
      apiVersion: 'fairlead.dev/v1alpha1',
      kind: 'InferenceGateway',
      metadata: { namespace: 'ml', name: 'g' },
      spec: { authentication: { mode: 'jwt', jwt: [{ issuer, jwksUrl }] } },
    });
    await objects.apply(gateway('https://id.example'));
    await until(({ state }) => state.gateways.length === 1);
    // What no rule in CEL says.
    await objects.apply(gateway('of two words'));
    const { state: broken } = await until(({ refused }) => refused.length === 1);
    assert.equal(broken.gateways[0]?.spec.authentication.jwt[0]?.issuer, 'https://id.example');
    assert.equal(broken.closed, undefined);
    const { state: first } = await freshList();
    assert.deepEqual([first.gateways.length, first.closed?.why, first.closed?.key], [0, 'refused', 'ml/g']);
    await objects.delete('igw', 'ml', 'g');
    const { state: gone } = await until(({ state }) => state.gateways.length === 0);
    assert.deepEqual([gone.closed?.why, gone.closed?.key], ['gone', 'ml/g']);
  });

  test('sees the namespaces that it is told to, and only those', { timeout }, async t => {
    await objects.apply({
      apiVersion: 'fairlead.dev/v1alpha1',
      kind: 'InferenceGateway',
      metadata: { namespace: 'other', name: 'g' },
      spec: {},
    });
    const all = await watching(t);
    const one = await watching(t, ['ml']);
    const two = await watching(t, ['ml', 'other']);
    await objects.createPod('other', 'there');
    await objects.createPod('ml', 'here');
    const keys = ({ state }: ClusterReading) => [...state.pods.keys()].sort().join(' ');
    await all.until(reading => keys(reading) === 'ml/here other/there');
    await two.until(reading => keys(reading) === 'ml/here other/there');
    await one.until(reading => keys(reading) === 'ml/here');
    const gateways = [all, one, two].map(({ latest }) => latest().state.gateways.map(({ name }) => name));
    assert.deepEqual(gateways, [['g'], [], ['g']]);
    assert.ok(one.readings.every(({ state }) => !state.pods.has('other/there')));
    await objects.deletePod('other', 'there', 'now');
    await objects.deletePod('ml', 'here', 'now');
    await objects.delete('igw', 'other', 'g');
  });

  test('tells the first state only when everything was listed, and with all of it', { timeout }, async t => {
    await objects.createPod('ml', 'early');
    await objects.apply(modelDocument('ml', 'early'));
    const { readings } = await watching(t);
    const [first] = readings;
    assert.ok(first?.state.pods.has('ml/early') && first.state.modelDeployments.has('ml/early'));
    await objects.deletePod('ml', 'early', 'now');
    await objects.delete('md', 'ml', 'early');
  });

  test('asks again with the credentials that there are then', { timeout }, async t => {
    const kubeConfig = kubeConfigOf(cluster);
    const { users } = kubeConfig;
    kubeConfig.users = users.map(user => ({ ...user, token: 'expired' }));
    const abort = new AbortController();
    const refused = Promise.withResolvers<void>();
    const reasons = new Set<string>();
    const watch = watchCluster({
      api: new ApiConnection(kubeConfigAccess(kubeConfig)),
      signal: abort.signal,
      onState: () => {},
      onEvent: event => {
        if (event.event === 'source.interrupted') reasons.add(event.reason);
        refused.resolve();
      },
    });
    t.after(async () => {
      abort.abort();
      await (await watch).ended;
    });
    await refused.promise;
    assert.deepEqual([...reasons], ['Unauthorized']);
    kubeConfig.users = users;
    await watch;
  });

  test('who edits without pause makes twenty states a second at most', { timeout }, async t => {
    await objects.apply(modelDocument('ml', 'busy'));
    const { until, readings } = await watching(t);
    const before = readings.length;
    const startedMs = performance.now();
    const api = apiOf(cluster);
    const path = '/apis/fairlead.dev/v1alpha1/namespaces/ml/modeldeployments/busy';
    for (let edit = 1; edit <= 100; edit++) {
      const body = { spec: { model: `org/${edit}` } };
      await api.send({ method: 'PATCH', path, body, contentType: MERGE_PATCH }, AbortSignal.timeout(timeout));
    }
    await until(({ state }) => state.modelDeployments.get('ml/busy')?.spec.model === 'org/100');
    const ms = performance.now() - startedMs;
    assert.ok(readings.length - before <= ms / 50 + 1, `${readings.length - before} states in ${ms} ms`);
    await objects.delete('md', 'ml', 'busy');
  });

  test('a long list comes in pages and is whole', { timeout }, async () => {
    const names = Array.from({ length: 620 }, (_, index) => `p${index}`);
    const documents = names.map(name => ({
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { namespace: 'other', name },
    }));
    await cluster.kubectl(['create', '-f', '-'], JSON.stringify({ apiVersion: 'v1', kind: 'List', items: documents }));
    const listed: string[] = [];
    const collection = { groupVersion: '/api/v1', plural: 'configmaps', namespace: 'other' };
    let requests = 0;
    class Counting extends ApiConnection {
      override get(...args: Parameters<ApiConnection['get']>) {
        requests++;
        return super.get(...args);
      }
    }
    const end = await listPages(new Counting(kubeConfigAccess(kubeConfigOf(cluster)), IDLE_MS), collection, {
      whole: false,
      signal: new AbortController().signal,
      onObject: ({ metadata }) => listed.push(metadata.name),
    });
    assert.ok(end.resourceVersion);
    assert.equal(requests, 2);
    assert.deepEqual(listed.sort(), names.sort());
    await cluster.kubectl(['delete', 'configmap', '--all', '-n', 'other', '--wait=false']);
  });

  test('a version that is too old leads to a list', { timeout }, async t => {
    await objects.createPod('ml', 'since');
    // An API server that has just begun knows nothing of what was before.
    await cluster.stopApiServer();
    await cluster.startApiServer();
    const replica = new Replica(keepPod);
    replica.beginList();
    replica.endList('1');
    const events: ListWatchEvent[] = [];
    const abort = new AbortController();
    const known = Promise.withResolvers<void>();
    const ended = followCollection({
      api: apiOf(cluster),
      collection: { ...POD_COLLECTION, namespace: 'ml' },
      replica,
      signal: abort.signal,
      onChange: () => {
        if (replica.values.has('ml/since')) known.resolve();
      },
      onEvent: event => events.push(event),
    });
    t.after(async () => {
      abort.abort();
      await ended;
    });
    await known.promise;
    assert.ok(
      events.some(event => event.event === 'source.interrupted' && event.relist),
      JSON.stringify(events),
    );
    await objects.deletePod('ml', 'since', 'now');
  });

  const FAULTS: readonly [what: string, fault: () => unknown, mended: () => unknown][] = [
    ['cut', () => proxy.cut(), () => {}],
    ['cut in the middle of an event', () => proxy.cutAfter(150), () => {}],
    ['frozen', () => proxy.freeze(), () => proxy.thaw()],
    ['lost with the API server', () => cluster.stopApiServer(), () => cluster.startApiServer()],
  ];
  for (const [what, fault, mended] of FAULTS) {
    test(`misses nothing when its connections are ${what}`, { timeout }, async t => {
      const { until, events, latest } = await watching(t);
      await objects.createPod('ml', 'stays');
      await objects.createPod('ml', 'goes');
      await until(({ state }) => state.pods.has('ml/stays') && state.pods.has('ml/goes'));
      const before = latest();
      await fault();
      if (what.startsWith('lost')) await mended();
      await objects.deletePod('ml', 'goes', 'now');
      await objects.createPod('ml', 'comes');
      if (!what.startsWith('lost')) await mended();
      const { state } = await until(
        reading => !reading.state.pods.has('ml/goes') && reading.state.pods.has('ml/comes'),
      );
      assert.equal(state.pods.get('ml/stays'), before.state.pods.get('ml/stays'));
      assert.equal(state.modelDeployments, before.state.modelDeployments);
      assert.deepEqual(state, (await freshList()).state);
      assert.ok(events.filter(({ event }) => event === 'source.interrupted').length < 100, 'no storm');
      await objects.deletePod('ml', 'stays', 'now');
      await objects.deletePod('ml', 'comes', 'now');
    });
  }

  test('after any interleaving of changes and faults it knows what a fresh list says', { timeout }, async t => {
    const name = fc.constantFrom('a', 'b', 'c');
    const ip = fc.integer({ min: 1, max: 250 }).map(last => `127.0.9.${last}`);
    const step = fc.oneof(
      fc.record({ kind: fc.constant('create' as const), name }),
      fc.record({ kind: fc.constant('status' as const), name, ip, ready: fc.boolean() }),
      fc.record({
        kind: fc.constant('delete' as const),
        name,
        grace: fc.constantFrom('now' as const, 'graceful' as const),
      }),
      fc.record({ kind: fc.constant('model' as const), name, model: fc.constantFrom('org/x', 'org/y') }),
      fc.record({ kind: fc.constant('unmodel' as const), name }),
      fc.constant({ kind: 'cut' as const }),
      fc.record({ kind: fc.constant('cutAfter' as const), bytes: fc.nat(2_000) }),
      fc.constant({ kind: 'freeze' as const }),
      fc.constant({ kind: 'thaw' as const }),
    );
    type Step = typeof step extends fc.Arbitrary<infer Value> ? Value : never;
    const take = async (one: Step): Promise<unknown> => {
      if (one.kind === 'cut') return proxy.cut();
      if (one.kind === 'freeze') return proxy.freeze();
      if (one.kind === 'thaw') return proxy.thaw();
      if (one.kind === 'cutAfter') return proxy.cutAfter(one.bytes);
      if (one.kind === 'create') return objects.createPod('ml', one.name, { app: one.name });
      if (one.kind === 'status') return objects.podStatus('ml', one.name, one.ip, one.ready);
      if (one.kind === 'delete') return objects.deletePod('ml', one.name, one.grace);
      if (one.kind === 'model') return objects.apply(modelDocument('ml', one.name, { model: one.model }));
      return objects.delete('md', 'ml', one.name);
    };
    const { until } = await watching(t);
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 12 }), async steps => {
        // What cannot be done (a status of a pod that is not there) is not done.
        for (const one of steps) await take(one).catch(() => undefined);
        proxy.thaw();
        const { state } = await freshList();
        await until(reading => isSame(reading.state, state));
      }),
      { numRuns: 6, endOnFailure: true },
    );
  });
});

function isSame(one: unknown, other: unknown): boolean {
  try {
    assert.deepEqual(one, other);
    return true;
  } catch {
    return false;
  }
}
