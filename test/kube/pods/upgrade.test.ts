import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { parse, stringify } from 'yaml';
import { until } from '../../e2e/harness/until.ts';
import type { Values } from '../helm.ts';
import { HeldModel } from './held-model.ts';
import { EXAMPLE_MODEL, Installation, isReady } from './installation.ts';
import { Load } from './load.ts';
import { PodRecord } from './pod-record.ts';

const GATEWAYS = 'app.kubernetes.io/component=gateway';
const OPERATORS = 'app.kubernetes.io/component=operator';
const DEFINITIONS = join(import.meta.dirname, '..', '..', '..', 'charts', 'fairlead', 'crds');
/** Between two requests. */
const INTERVAL_MS = 50;
const HELD_STREAMS = 6;
const ROLLOUT_MS = 120_000;

/** No request lasts longer, and nobody but the proxy of Services has to hear that a gateway leaves. */
const drain = { timeoutSeconds: 120, minAcceptSeconds: 2 };

suite('the chart, upgraded, rolled back and uninstalled', () => {
  let installation: Installation;
  let record: PodRecord;
  let held: HeldModel;
  let load: Load | undefined;

  before(async () => {
    installation = await Installation.prepare();
    await installation.install({ gateway: { drain } });
    await installation.applyExample('model.yaml');
    await installation.kubectl(['wait', '--for=condition=Ready', 'md/llama-3-8b', '--timeout=60s']);
    held = await HeldModel.apply(installation);
    record = new PodRecord(installation);
  });

  after(async () => {
    await load?.stop();
    record?.stop();
    await installation?.stop();
  });

  const startLoad = async () => {
    load = new Load({ url: await installation.url(), model: EXAMPLE_MODEL, intervalMs: INTERVAL_MS });
    await load.untilMore(40);
    return load;
  };

  const names = async (selector: string) => (await installation.pods(selector)).map(({ metadata }) => metadata.name);

  /** Two others are ready, and the old ones gone or about to be. */
  const untilReplaced = (selector: string, old: readonly string[]) => {
    const isReplaced = async () => {
      const pods = await installation.pods(selector);
      const staying = pods.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
      return staying.length === 2 && staying.every(pod => isReady(pod) && !old.includes(pod.metadata.name));
    };
    return until(`other pods than ${old.join(', ')}`, isReplaced, ROLLOUT_MS);
  };

  const untilGone = (selector: string, old: readonly string[]) => {
    const isGone = async () => (await names(selector)).every(name => !old.includes(name));
    return until(`the end of ${old.join(', ')}`, isGone, ROLLOUT_MS);
  };

  /** None of their containers crashed, was killed or left requests behind. */
  const assertEndedWell = (pods: readonly string[]) => {
    const containers = pods.flatMap(pod => record.containers(pod));
    assert.ok(containers.length >= pods.length);
    for (const { name, ...end } of containers) assert.deepEqual({ name, ...end }, { name, restarts: 0, exitCode: 0 });
  };

  /** Does something that replaces all pods while a load runs and streams are held, and lets those end afterwards. */
  const replacing = async (change: () => Promise<unknown>) => {
    const [gateways, operators] = [await names(GATEWAYS), await names(OPERATORS)];
    const load = await startLoad();
    const streams = await Promise.all(Array.from({ length: HELD_STREAMS }, () => held.begin()));
    const changed = change();
    await Promise.all([untilReplaced(GATEWAYS, gateways), untilReplaced(OPERATORS, operators)]);
    await load.untilMore(100);
    assert.deepEqual(
      streams.filter(({ isOpen }) => !isOpen),
      [],
      'every stream outlasts the rollout of its gateway',
    );
    await held.finish();
    for (const { text } of streams) assert.match(await text, /begin.* end.*data: \[DONE\]\n\n$/s);
    await changed;
    await Promise.all([untilGone(GATEWAYS, gateways), untilGone(OPERATORS, operators)]);
    await load.stop();
    assert.deepEqual(load.failures, []);
    assertEndedWell([...gateways, ...operators]);
  };

  const annotated = (by: string): Values => {
    const podAnnotations = { 'example.com/by': by };
    return { gateway: { drain, podAnnotations }, operator: { podAnnotations } };
  };

  test('an upgrade replaces every pod: no request fails, no stream is cut', () =>
    replacing(() => installation.upgrade(annotated('upgrade'))));

  test('and so does a rollback', () =>
    replacing(() => installation.helm('rollback', 'fairlead', '1', '--wait', '--timeout', '120s')));

  test('other CustomResourceDefinitions are taken up by what runs', async () => {
    const load = await startLoad();
    const define = (yaml: string) =>
      installation.kubectl(['apply', '--server-side', '--force-conflicts', '-f', '-'], yaml);
    const definition = readFileSync(join(DEFINITIONS, 'modeldeployments.yaml'), 'utf8');
    await define(withField(definition, 'ofTheFuture'));
    await installation.kubectl(['patch', 'md', 'llama-3-8b', '--type=merge', '-p', aliases('llama', 'newer')]);
    const url = await installation.url();
    await until('an answer by the new alias', () => isAnswered(url, 'newer'));
    await installation.kubectl(['apply', '--server-side', '--force-conflicts', '-f', DEFINITIONS]);
    await installation.kubectl(['patch', 'md', 'llama-3-8b', '--type=merge', '-p', aliases('llama')]);
    await until('no answer by the alias any more', async () => !(await isAnswered(url, 'newer')));
    await load.stop();
    assert.deepEqual(load.failures, []);
  });

  test('what helm uninstall leaves is what users declared', async () => {
    const pods = [...(await names(GATEWAYS)), ...(await names(OPERATORS))];
    await installation.helm('uninstall', 'fairlead', '--wait', '--timeout', '120s');
    await untilGone('app.kubernetes.io/instance=fairlead', pods);
    assertEndedWell(pods);
    const kinds =
      'all,secrets,configmaps,serviceaccounts,roles,rolebindings,poddisruptionbudgets,networkpolicies,igw,clusterroles,clusterrolebindings';
    assert.equal(
      await installation.kubectl(['get', kinds, '-l', 'app.kubernetes.io/part-of=fairlead', '-o', 'name']),
      '',
    );
    assert.equal(
      await installation.kubectl(['get', 'md', '-o', 'name']),
      'modeldeployment.fairlead.dev/held\nmodeldeployment.fairlead.dev/llama-3-8b\n',
    );
  });

  test('installed again, as a deployment, it serves them, and an upgrade cuts nothing either', async () => {
    await installation.install({ mode: 'deployment', gateway: { drain } });
    const url = await installation.url();
    await until('an answer', () => isAnswered(url, 'llama'));
    await replacing(() => installation.upgrade({ mode: 'deployment', ...annotated('upgrade') }));
  });
});

function aliases(...names: readonly string[]): string {
  return JSON.stringify({ spec: { aliases: names } });
}

async function isAnswered(url: string, model: string): Promise<boolean> {
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model, messages: [{ role: 'user', content: 'Hi' }], max_tokens: 4 }),
  });
  await response.text();
  return response.status === 200;
}

/** The definition with another optional field in its specification. */
function withField(definition: string, field: string): string {
  const document = parse(definition);
  document.spec.versions[0].schema.openAPIV3Schema.properties.spec.properties[field] = { type: 'string' };
  return stringify(document);
}
