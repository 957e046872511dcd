import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { modelStatusSchema, type StatusDocument } from '../../../crds/status.ts';
import { MERGE_PATCH } from '../../../operator/api/api-connection.ts';
import { MODEL_COLLECTION } from '../../../operator/source/kubernetes/declared-object.ts';
import { followCollection } from '../../../operator/source/kubernetes/list-watch.ts';
import { Replica } from '../../../operator/source/kubernetes/replica.ts';
import { SteadyLoad } from '../../e2e/harness/steady-load.ts';
import { until } from '../../e2e/harness/until.ts';
import { apiOf } from '../api-objects.ts';
import { Gateways } from './gateways.ts';
import { EXAMPLE_MODEL, Installation, isReady } from './installation.ts';

const EXAMPLE = join(import.meta.dirname, '..', '..', '..', 'examples', 'kubernetes', 'model.yaml');
const DEFINITION = 'modeldeployments.fairlead.dev';
const EDITS = 100;
const WRITERS = 8;
/** Of the operator: between two tables, and between two writes of one status. */
const TABLE_PACE_MS = 50;
const STATUS_PACE_MS = 1_000;

suite('names of models, whose pod serves all of them', { timeout: 600_000 }, () => {
  let installation: Installation;
  let gateways: Gateways;
  let url = '';

  before(async () => {
    installation = await Installation.prepare();
    await installation.install();
    await installation.apply(readFileSync(EXAMPLE, 'utf8').replace('replicas: 3', 'replicas: 1'));
    await installation.untilPods('the pod', 'app=llama', pods => pods.some(isReady));
    gateways = await Gateways.of(installation);
    url = await installation.url();
    await untilStatus('llama-3-8b', 'Ready True');
  });

  after(() => installation?.stop());

  /** Another model of the example's pods. */
  function modelOf(name: string, spec: object) {
    const pods = { selector: { matchLabels: { app: 'llama' } }, port: 8_000 };
    return {
      apiVersion: 'fairlead.dev/v1alpha1',
      kind: 'ModelDeployment',
      metadata: { name },
      spec: { backends: [{ name: 'vllm', model: EXAMPLE_MODEL, pods }], ...spec },
    };
  }

  async function objectOf(name: string) {
    const { metadata, status } = JSON.parse(await installation.kubectl(['get', 'md', name, '-o', 'json']));
    return {
      metadata: metadata as { uid: string; resourceVersion: string; creationTimestamp: string },
      status: status === undefined ? ({} as StatusDocument) : modelStatusSchema.parse(status),
    };
  }

  /** Waits until a condition of the model begins so: "Accepted False NameConflict …". */
  function untilStatus(name: string, begins: string): Promise<StatusDocument> {
    return until(
      `${name}: ${begins}`,
      async () => {
        const { status } = await objectOf(name);
        const told = status.conditions?.map(({ type, status, reason, message }) =>
          [type, status, reason, message].join(' '),
        );
        return told?.some(condition => condition.startsWith(begins)) && status;
      },
      60_000,
    );
  }

  async function ask(model: string): Promise<number> {
    const response = await fetch(`${url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model, messages: [{ role: 'user', content: 'Hi' }], max_tokens: 2 }),
    });
    await response.text();
    return response.status;
  }

  /** Waits until every gateway knows this name, or none. */
  const untilKnown = (model: string, known: boolean) =>
    until(`${model} is ${known ? 'known' : 'not known'}`, async () =>
      (await gateways.explain(model)).every(explanation => (explanation !== undefined) === known),
    );

  /** Does something while clients ask for these models, all of whom are answered. */
  async function underLoad(models: readonly string[], act: (load: SteadyLoad) => Promise<void>): Promise<void> {
    const load = new SteadyLoad({ url, clients: 4, models });
    try {
      await load.untilMore(8);
      await act(load);
      await load.untilMore(20);
    } finally {
      await load.stop();
    }
    assert.deepEqual(load.failures, []);
  }

  /** Whoever is made from now on is younger: creation is known to the second. */
  async function untilYounger(name: string): Promise<void> {
    const { metadata } = await objectOf(name);
    await until('the next second', () => Date.now() >= Date.parse(metadata.creationTimestamp) + 1_000);
  }

  test('an alias is the older one’s, untouched; who waits for it has it once that one is gone', async () => {
    // By name the younger would come first.
    await installation.apply(modelOf('older', { model: 'acme/older', aliases: ['turbo'] }));
    const begun = await untilStatus('older', 'Programmed True');
    await untilStatus('older', 'Ready True');
    await underLoad(['turbo', EXAMPLE_MODEL], async load => {
      await untilYounger('older');
      const { metadata } = await objectOf('older');
      await installation.apply(modelOf('a-younger', { model: 'acme/younger', aliases: ['turbo'] }));
      const taken = `Accepted False NameConflict alias "turbo" is taken by fairlead/older since `;
      await untilStatus('a-younger', taken);
      await untilStatus('a-younger', 'Ready False');
      await load.untilMore(20);
      assert.deepEqual(await Promise.all(['acme/older', 'acme/younger'].map(ask)), [200, 404]);
      assert.equal((await objectOf('older')).metadata.resourceVersion, metadata.resourceVersion);
      const models = () => new Set(load.answers.filter(({ asked }) => asked === 'turbo').map(({ model }) => model));
      assert.deepEqual(models(), new Set(['acme/older']));
      await installation.kubectl(['delete', 'md', 'older']);
      await untilKnown('acme/younger', true);
      const answered = load.answers.length;
      await load.untilMore(20);
      const later = load.answers.slice(answered).filter(({ asked }) => asked === 'turbo');
      assert.equal(later.at(-1)?.model, 'acme/younger');
    });
    await untilStatus('a-younger', 'Ready True');
    assert.deepEqual(await Promise.all(['acme/older', 'acme/younger'].map(ask)), [404, 200]);
    assert.ok(begun.conditions?.every(({ observedGeneration }) => observedGeneration === 1));
    await installation.kubectl(['delete', 'md', 'a-younger']);
  });

  test('a ModelDeployment gets another name, and its clients do not notice', async () => {
    const spec = { model: 'acme/renamed', aliases: ['renamed'] };
    await installation.apply(modelOf('first', spec));
    await untilStatus('first', 'Ready True');
    await underLoad(['acme/renamed', 'renamed'], async () => {
      await untilYounger('first');
      await installation.apply(modelOf('second', spec));
      await untilStatus('second', 'Accepted False NameConflict id "acme/renamed" is taken by fairlead/first');
      await installation.kubectl(['delete', 'md', 'first']);
      await untilStatus('second', 'Ready True');
      const explanations = await gateways.explain('renamed');
      assert.deepEqual(new Set(explanations.map(explanation => explanation?.key)), new Set(['fairlead/second']));
    });
    await installation.kubectl(['delete', 'md', 'second']);
    await untilKnown('renamed', false);
  });

  test('what is deleted and made anew under its name is another one, with its own status', async () => {
    await installation.apply(modelOf('again', { model: 'acme/one', ownedBy: 'somebody' }));
    await untilStatus('again', 'Ready True');
    await installation.apply(modelOf('again', { model: 'acme/one', ownedBy: 'somebody else' }));
    await until('the second generation', async () => (await objectOf('again')).status.observedGeneration === 2);
    const before = await objectOf('again');
    await installation.kubectl(['delete', 'md', 'again']);
    await installation.apply(modelOf('again', { model: 'acme/two' }));
    const status = await untilStatus('again', 'Ready True');
    const after = await objectOf('again');
    assert.notEqual(after.metadata.uid, before.metadata.uid);
    assert.deepEqual([status.model, status.observedGeneration], ['acme/two', 1]);
    await untilKnown('acme/one', false);
    assert.deepEqual(await Promise.all(['acme/one', 'acme/two'].map(ask)), [404, 200]);
    // The same in every word.
    await installation.kubectl(['delete', 'md', 'again']);
    await installation.apply(modelOf('again', { model: 'acme/two' }));
    const { metadata } = await objectOf('again');
    assert.notEqual(metadata.uid, after.metadata.uid);
    await untilStatus('again', 'Ready True');
    assert.equal(await ask('acme/two'), 200);
    await installation.kubectl(['delete', 'md', 'again']);
  });

  test('a hundred edits in a row become few tables and few writes, and the last of them is served', async t => {
    await installation.apply(modelOf('busy', { model: 'acme/edit-0' }));
    await untilStatus('busy', 'Ready True');
    const api = apiOf(installation.cluster);
    const stopped = new AbortController();
    const statuses = new Set<string>();
    const replica = new Replica(({ metadata, status }) => {
      if (metadata.name === 'busy') statuses.add(JSON.stringify(status));
      return metadata.resourceVersion;
    });
    const watching = followCollection({
      api,
      collection: { ...MODEL_COLLECTION, namespace: installation.namespace },
      replica,
      signal: stopped.signal,
      onChange: () => {},
      onEvent: () => {},
    });
    await until('the watch', () => replica.synced);
    const tablesBefore = await gateways.tableSequence();
    const edit = async (number: number): Promise<void> => {
      const path = `/apis/fairlead.dev/v1alpha1/namespaces/${installation.namespace}/modeldeployments/busy`;
      const body = { spec: { model: `acme/edit-${number}` } };
      const request = { method: 'PATCH', path, body, contentType: MERGE_PATCH } as const;
      const { failure } = await api.send(request, AbortSignal.timeout(30_000));
      // Another's edit came between, more often than the API server tries again.
      if (failure?.code === 409) return edit(number);
      assert.equal(failure, undefined);
    };
    const startedMs = performance.now();
    await Promise.all(
      Array.from({ length: WRITERS }, async (_, writer) => {
        for (let number = 1 + writer; number < EDITS; number += WRITERS) await edit(number);
      }),
    );
    await edit(EDITS);
    const editedMs = performance.now() - startedMs;
    await untilKnown(`acme/edit-${EDITS}`, true);
    const { observedGeneration } = await until('the last status', async () => {
      const { status } = await objectOf('busy');
      return status.model === `acme/edit-${EDITS}` && status;
    });
    assert.equal(observedGeneration, EDITS + 1);
    await untilStatus('busy', 'Ready True');
    const tookMs = performance.now() - startedMs;
    const tables = (await gateways.tableSequence()) - tablesBefore;
    const writes = statuses.size - 1;
    t.diagnostic(`${EDITS} edits in ${Math.round(editedMs)} ms: ${tables} tables, ${writes} statuses`);
    assert.ok(tables <= editedMs / TABLE_PACE_MS + 2, `${tables} tables in ${editedMs} ms`);
    assert.ok(writes <= tookMs / STATUS_PACE_MS + 2, `${writes} writes in ${tookMs} ms`);
    for (const old of [0, 1, EDITS - 1]) assert.equal(await ask(`acme/edit-${old}`), 404);
    assert.equal(await ask(`acme/edit-${EDITS}`), 200);
    stopped.abort();
    await watching;
    await installation.kubectl(['delete', 'md', 'busy']);
  });

  test('what an older definition let pass is refused and told why, and harms nobody', async () => {
    const path = '/spec/versions/0/schema/openAPIV3Schema';
    const { spec } = JSON.parse(await installation.kubectl(['get', 'crd', DEFINITION, '-o', 'json']));
    const replaceSchema = (value: object) => {
      const patch = JSON.stringify([{ op: 'replace', path, value }]);
      return installation.kubectl(['patch', 'crd', DEFINITION, '--type=json', '-p', patch]);
    };
    const applied = (document: object) =>
      installation.apply(document).then(
        () => true,
        () => false,
      );
    const bad = modelOf('bad', { model: 'acme/bad', aliases: ['llama'], backends: [] });
    assert.equal(await applied(bad), false, 'the definition holds');
    await underLoad(['llama'], async load => {
      await replaceSchema({ type: 'object', 'x-kubernetes-preserve-unknown-fields': true });
      await until('the older definition', () => applied(bad));
      await untilStatus('bad', 'Accepted False Invalid spec.backends: ');
      await untilStatus('bad', 'Ready False');
      await load.untilMore(20);
      assert.equal(await ask('acme/bad'), 404);
      await installation.apply(modelOf('good', { model: 'acme/good' }));
      await untilStatus('good', 'Ready True');
      assert.equal(await ask('acme/good'), 200);
      await replaceSchema(spec.versions[0].schema.openAPIV3Schema);
      await until('the definition', async () => !(await applied(modelOf('worse', { backends: [] }))) || undefined);
      await installation.apply(modelOf('bad', { model: 'acme/bad' }));
      await untilStatus('bad', 'Ready True');
      assert.equal(await ask('acme/bad'), 200);
    });
    assert.match(await installation.condition('llama-3-8b', 'Ready'), /^True /);
    await installation.kubectl(['delete', 'md', 'bad', 'good', 'worse', '--ignore-not-found']);
  });
});
