import assert from 'node:assert/strict';
import { after, afterEach, before, suite, type TestContext, test } from 'node:test';
import { modelStatusSchema, type StatusDocument } from '../../crds/status.ts';
import { until } from '../e2e/harness/until.ts';
import { ApiObjects, modelDocument } from './api-objects.ts';
import { Cluster } from './cluster.ts';
import { SeenConnection, StatusOperator } from './status-operator.ts';

/** Nothing here takes this long; it only ends a test that would hang, milliseconds. */
const timeout = 90_000;

suite('statuses on a real API server', { timeout: 6 * timeout }, () => {
  let cluster: Cluster;
  let objects: ApiObjects;

  before(async () => {
    cluster = await Cluster.start();
    objects = new ApiObjects(cluster);
    await objects.prepare('ml');
  });

  after(() => cluster?.stop());

  afterEach(async () => {
    for (const kind of ['md', 'igw']) await cluster.kubectl(['delete', kind, '--all', '-n', 'ml']);
    await cluster.kubectl(['delete', 'pods', '--all', '-n', 'ml', '--grace-period=0', '--force']);
    await cluster.kubectl(['delete', 'events', '--all', '-n', 'ml']);
  });

  /** An operator that leads, and agents of these names that follow it. */
  async function leading(t: TestContext, ...nodes: readonly string[]) {
    const operator = new StatusOperator(new SeenConnection(cluster));
    await operator.start();
    const agents = nodes.map(node => operator.agent(node));
    const stop = async () => {
      for (const agent of agents) agent.stop();
      await operator.stop();
    };
    t.after(stop);
    return { api: operator.api, events: operator.events, operator, agents, stop };
  }

  async function statusOf(name: string, kind = 'md'): Promise<StatusDocument> {
    const text = await cluster.kubectl(['get', kind, name, '-n', 'ml', '-o', 'json']);
    const { status } = JSON.parse(text) as { status?: unknown };
    return status === undefined ? {} : modelStatusSchema.parse(status);
  }

  /** Conditions as "True Reason message", by type. */
  async function conditionsOf(name: string, kind?: string): Promise<Readonly<Record<string, string>>> {
    const { conditions = [] } = await statusOf(name, kind);
    return Object.fromEntries(
      conditions.map(({ type, status, reason, message }) => [type, `${status} ${reason} ${message}`.trim()]),
    );
  }

  const untilCondition = (name: string, type: string, begins: string, kind?: string) =>
    until(`${type} ${begins} of ${name}`, async () => (await conditionsOf(name, kind))[type]?.startsWith(begins));

  const readyPods = async (app: string, ready: number, total: number) => {
    for (let i = 0; i < total; i++) {
      await objects.createPod('ml', `${app}-${i}`, { app });
      await objects.podStatus('ml', `${app}-${i}`, `127.0.8.${i + 1}`, i < ready);
    }
  };

  const eventsOf = async (name: string) => {
    const text = await cluster.kubectl(['get', 'events.events.k8s.io', '-n', 'ml', '-o', 'json']);
    const { items } = JSON.parse(text) as {
      items: { regarding: { name: string; kind: string }; reason: string; type: string; note: string }[];
    };
    return items.filter(({ regarding }) => regarding.name === name).map(({ type, reason }) => `${type} ${reason}`);
  };

  test('kubectl shows what is ready, and each condition what it is about', { timeout }, async t => {
    await leading(t, 'node-a', 'node-b');
    await readyPods('llama', 4, 5);
    await objects.apply(modelDocument('ml', 'llama', { model: 'meta/llama' }));
    await untilCondition('llama', 'Programmed', 'True');
    await untilCondition('llama', 'Ready', 'True Ready 4/5');
    const [heading = '', row = ''] = (await cluster.kubectl(['get', 'md', '-n', 'ml'])).split('\n');
    assert.match(heading, /^NAME +MODEL +TYPE +READY +STRATEGY +AGE/);
    assert.match(row, /^llama +meta\/llama +text-generation +4\/5 +least-request /);
    const { observedGeneration, endpoints, conditions = [] } = await statusOf('llama');
    assert.deepEqual({ observedGeneration, endpoints }, { observedGeneration: 1, endpoints: { ready: 4, total: 5 } });
    assert.deepEqual(
      conditions.map(condition => `${condition.type} ${condition.status} ${condition.observedGeneration}`),
      ['Accepted True 1', 'BackendsResolved True 1', 'Programmed True 1', 'Ready True 1'],
    );
    await cluster.kubectl(['wait', 'md/llama', '-n', 'ml', '--for=condition=Ready', '--timeout=60s']);
    await until('an Event', async () => (await eventsOf('llama')).includes('Normal Ready'));
    assert.match(await cluster.kubectl(['get', 'events', '-n', 'ml']), /Ready +modeldeployment\/llama +4\/5 endpoints/);
  });

  test('an object whose status an admission webhook denies costs no other one its own', { timeout }, async t => {
    const { api, events } = await leading(t, 'node-a');
    const denied = { failure: { code: 403, message: 'admission webhook "w" denied the request' } };
    api.intercept = ({ path }) => (path.endsWith('/denied/status') ? denied : undefined);
    await objects.apply(modelDocument('ml', 'denied'), modelDocument('ml', 'other'));
    await until('it is told', () => events.find(({ event }) => event === 'status.failed'));
    await untilCondition('other', 'Accepted', 'True');
    assert.deepEqual(
      events.filter(({ event }) => event === 'status.interrupted'),
      [],
    );
    api.intercept = () => undefined;
    await untilCondition('denied', 'Accepted', 'True');
  });

  test('what keeps a model from being served is said, and when it ends', { timeout }, async t => {
    const { agents } = await leading(t, 'node-a', 'node-b');
    const [agent = assert.fail()] = agents;
    await objects.apply(modelDocument('ml', 'llama', { aliases: ['turbo'] }));
    await untilCondition(
      'llama',
      'BackendsResolved',
      'False NoEndpoints backend gpu: selector app=llama matches no pods',
    );
    await readyPods('llama', 1, 1);
    await untilCondition('llama', 'Ready', 'True');

    await objects.apply(modelDocument('ml', 'thief', { aliases: ['turbo'] }));
    await untilCondition('thief', 'Accepted', 'False NameConflict alias "turbo" is taken by ml/llama since');
    assert.match((await conditionsOf('thief')).Programmed ?? '', /^False NotAccepted/);

    agent.reject({ resource: 'cluster ml/llama', message: 'Proto constraint validation failed' });
    const refused = 'False Refused refused by node-a: Proto constraint validation failed';
    await untilCondition('llama', 'Programmed', refused);
    await untilCondition('llama', 'Ready', 'False NotProgrammed');
    agent.reject();
    await untilCondition('llama', 'Programmed', 'True');
    await untilCondition('llama', 'Ready', 'True');
    const expected = ['Warning NoEndpoints', 'Normal Ready', 'Warning Refused', 'Normal Programmed'];
    await until('Events', async () => {
      const told = await eventsOf('llama');
      return expected.every(event => told.includes(event));
    });
    assert.deepEqual(await eventsOf('thief'), ['Warning NameConflict']);
  });

  test('gateways that do not follow are waited for, and named when they never answer', { timeout }, async t => {
    const { agents } = await leading(t, 'node-a', 'node-b', 'node-c');
    await objects.apply(modelDocument('ml', 'first'));
    await untilCondition('first', 'Programmed', 'True Programmed every');
    agents[2]?.freeze();
    await objects.apply(modelDocument('ml', 'second'));
    await untilCondition('second', 'Programmed', 'Unknown Pending 2 of 3 gateways follow; waiting for node-c');
    await untilCondition('second', 'Programmed', 'True Programmed 2 of 3 gateways; node-c has not answered');
    assert.match((await conditionsOf('first')).Programmed ?? '', /^True Programmed every/, 'node-c has that one');
    agents[2]?.thaw();
    await untilCondition('second', 'Programmed', 'True Programmed every');
  });

  test('without a gateway it is unknown, and says what to look at', { timeout }, async t => {
    await leading(t);
    const meta = { apiVersion: 'fairlead.dev/v1alpha1', metadata: { namespace: 'ml', name: 'default' } };
    await objects.apply(modelDocument('ml', 'llama'), { ...meta, kind: 'InferenceGateway', spec: {} });
    for (const [name, kind] of [
      ['llama', 'md'],
      ['default', 'igw'],
    ] as const) {
      await untilCondition(name, 'Programmed', 'Unknown NoGateways no gateway is connected', kind);
    }
  });

  test('who takes over writes nothing that is said already', { timeout }, async t => {
    const first = await leading(t, 'node-a', 'node-b');
    await readyPods('a', 1, 2);
    await objects.apply(...['a', 'b', 'c'].map(name => modelDocument('ml', name)));
    for (const name of ['a', 'b', 'c']) await untilCondition(name, 'Programmed', 'True');
    const before = await Promise.all(['a', 'b', 'c'].map(name => statusOf(name)));
    await first.stop();
    const second = await leading(t);
    await until('its list', () => second.events.some(({ event }) => event === 'status.listed'));
    const agents = ['node-a', 'node-b'].map(node => second.operator.agent(node));
    t.after(() => {
      for (const agent of agents) agent.stop();
    });
    // A new object's status is written after all that was to be written of the others.
    await objects.apply(modelDocument('ml', 'new'));
    await untilCondition('new', 'Programmed', 'True');
    assert.deepEqual(
      second.api.patches().filter(({ path }) => !path.endsWith('/new/status')),
      [],
    );
    assert.deepEqual(await Promise.all(['a', 'b', 'c'].map(name => statusOf(name))), before);
  });

  test('of a hundred edits in a row few are written, and the last is', { timeout }, async t => {
    const { api } = await leading(t, 'node-a');
    await objects.apply(modelDocument('ml', 'llama'));
    await untilCondition('llama', 'Programmed', 'True');
    const startedMs = performance.now();
    const before = api.patches('llama').length;
    const edits = new SeenConnection(cluster);
    const path = '/apis/fairlead.dev/v1alpha1/namespaces/ml/modeldeployments/llama';
    for (let edit = 1; edit <= 100; edit++) {
      const body = { spec: { model: `meta/llama-${edit}` } };
      const contentType = 'application/merge-patch+json';
      await edits.send({ method: 'PATCH', path, body, contentType }, AbortSignal.timeout(timeout));
    }
    await until('the last', async () => (await statusOf('llama')).model === 'meta/llama-100');
    await untilCondition('llama', 'Programmed', 'True');
    const { observedGeneration, conditions = [] } = await statusOf('llama');
    assert.equal(observedGeneration, 101);
    assert.ok(conditions.every(condition => condition.observedGeneration === 101));
    const seconds = (performance.now() - startedMs) / 1_000;
    const written = api.patches('llama').length - before;
    assert.ok(written <= Math.ceil(seconds) + 1, `${written} writes in ${seconds} s`);
  });

  test('endpoints that come and go all the time cost a write a second, and end nothing else', { timeout }, async t => {
    const { api } = await leading(t, 'node-a');
    await readyPods('llama', 2, 2);
    await objects.apply(modelDocument('ml', 'llama'));
    await untilCondition('llama', 'Ready', 'True Ready 2/2');
    await untilCondition('llama', 'Programmed', 'True');
    const startedMs = performance.now();
    const before = api.patches('llama').length;
    const kubelet = new SeenConnection(cluster);
    const path = '/api/v1/namespaces/ml/pods/llama-1/status';
    for (let flip = 0; flip <= 100; flip++) {
      const body = { status: { conditions: [{ type: 'Ready', status: flip % 2 === 0 ? 'False' : 'True' }] } };
      const contentType = 'application/merge-patch+json';
      await kubelet.send({ method: 'PATCH', path, body, contentType }, AbortSignal.timeout(timeout));
    }
    await untilCondition('llama', 'Ready', 'True Ready 1/2');
    const seconds = (performance.now() - startedMs) / 1_000;
    const written = api.patches('llama').slice(before);
    assert.ok(written.length <= Math.ceil(seconds) + 1, `${written.length} writes in ${seconds} s`);
    for (const { body } of written) {
      const { conditions = [] } = (body as { status: StatusDocument }).status;
      assert.ok(conditions.every(({ status }) => status === 'True'));
    }
  });

  test('an object made anew under the same name gets its own status', { timeout }, async t => {
    const { api } = await leading(t, 'node-a');
    await objects.apply(modelDocument('ml', 'llama', { model: 'old' }));
    await untilCondition('llama', 'Programmed', 'True');
    // Its next status is on its way when the object is another already.
    const sent = Promise.withResolvers<void>();
    const anew = Promise.withResolvers<void>();
    let late = 0;
    api.intercept = request => {
      if (request.method !== 'PATCH' || late++ > 0) return undefined;
      sent.resolve();
      return anew.promise.then(() => api.send(request, AbortSignal.timeout(timeout)));
    };
    await objects.apply(modelDocument('ml', 'llama', { model: 'older' }));
    await sent.promise;
    await objects.delete('md', 'ml', 'llama');
    await objects.apply(modelDocument('ml', 'llama', { model: 'new' }));
    await until('the status of the new one', async () => (await statusOf('llama')).model === 'new');
    anew.resolve();
    const patchesOf = (model: string) =>
      api.patches('llama').filter(({ body }) => (body as { status: StatusDocument }).status.model === model).length;
    await until('a write of the new one after the late one', () => patchesOf('older') === 2 && patchesOf('new') >= 2);
    await until('the status of the new one', async () => (await statusOf('llama')).model === 'new');
    assert.equal((await statusOf('llama')).observedGeneration, 1);
  });

  test('a conflict and an object that is gone are no failure for the others', { timeout }, async t => {
    const { api, events } = await leading(t, 'node-a');
    let conflicts = 0;
    api.intercept = ({ method, path }) => {
      if (method !== 'PATCH' || !path.endsWith('/a/status') || conflicts++ > 0) return undefined;
      return { failure: { code: 409, message: 'the object has been modified' } };
    };
    await objects.apply(modelDocument('ml', 'a'), modelDocument('ml', 'b'));
    await untilCondition('b', 'Programmed', 'True');
    await untilCondition('a', 'Programmed', 'True');
    assert.deepEqual(
      events.filter(({ event }) => event === 'status.failed'),
      [{ event: 'status.failed', resource: 'ModelDeployment ml/a', reason: 'the object has been modified' }],
    );
    api.intercept = ({ method, path }) =>
      method === 'PATCH' && path.endsWith('/a/status') ? { failure: { code: 404, message: 'not found' } } : undefined;
    const before = api.patches('a').length;
    await objects.apply(modelDocument('ml', 'a', { model: 'x' }));
    await until('one write', () => api.patches('a').length > before);
    await objects.apply(modelDocument('ml', 'b', { model: 'y' }));
    await until('the other', async () => (await statusOf('b')).model === 'y');
    assert.equal(api.patches('a').length, before + 1, 'it is not tried again');
  });

  test('an object that an older definition let pass says what is wrong with it', { timeout }, async t => {
    await leading(t, 'node-a');
    const definition = 'modeldeployments.fairlead.dev';
    const path = '/spec/versions/0/schema/openAPIV3Schema';
    const { spec } = JSON.parse(await cluster.kubectl(['get', 'crd', definition, '-o', 'json'])) as {
      spec: { versions: [{ schema: { openAPIV3Schema: object } }] };
    };
    const replace = (value: object) => {
      const patch = JSON.stringify([{ op: 'replace', path, value }]);
      return cluster.kubectl(['patch', 'crd', definition, '--type=json', '-p', patch]);
    };
    await replace({ type: 'object', 'x-kubernetes-preserve-unknown-fields': true });
    await until('the older definition', () =>
      objects.apply(modelDocument('ml', 'bad', { backends: [] })).then(
        () => true,
        () => false,
      ),
    );
    await objects.apply(modelDocument('ml', 'good'));
    await untilCondition('bad', 'Accepted', 'False Invalid spec.backends: ');
    await untilCondition('good', 'Programmed', 'True');
    await objects.apply(modelDocument('ml', 'bad'));
    await untilCondition('bad', 'Accepted', 'True');
    await untilCondition('bad', 'Programmed', 'True');
    await replace(spec.versions[0].schema.openAPIV3Schema);
    await until('Events', async () => (await eventsOf('bad')).includes('Normal Accepted'));
  });

  test('an API server that was away is told what it missed', { timeout }, async t => {
    const { api, events, agents } = await leading(t, 'node-a');
    await objects.apply(modelDocument('ml', 'llama'));
    await untilCondition('llama', 'Programmed', 'True');
    await cluster.stopApiServer();
    agents[0]?.reject({ resource: 'cluster ml/llama', message: 'bad' });
    await until('an attempt', () => events.some(({ event }) => event === 'status.interrupted'));
    await cluster.startApiServer();
    await untilCondition('llama', 'Programmed', 'False Refused refused by node-a: bad');
    assert.equal(api.patches('llama').length > 1, true);
  });

  test('who does not lead any more writes nothing', { timeout }, async t => {
    const first = await leading(t, 'node-a');
    await objects.apply(modelDocument('ml', 'llama'));
    await untilCondition('llama', 'Programmed', 'True');
    await first.stop();
    const before = first.api.sent.length;
    const second = await leading(t, 'node-a');
    await objects.apply(modelDocument('ml', 'llama', { model: 'other' }));
    await until('the other', async () => (await statusOf('llama')).model === 'other');
    assert.equal(first.api.sent.length, before);
    assert.ok(second.api.patches('llama').length > 0);
  });
});
