import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import fc from 'fast-check';
import type { RouteTable } from '../../agent/table/route-table.ts';
import { TableFeed } from '../../agent/table/table-feed.ts';
import { type ApiConnection, MERGE_PATCH } from '../../operator/api/api-connection.ts';
import { type Plan, plan } from '../../operator/plan/plan.ts';
import { Publisher } from '../../operator/publish/publisher.ts';
import { type ClusterReading, type SourceEvent, watchCluster } from '../../operator/source/kubernetes.ts';
import { until } from '../e2e/harness/until.ts';
import { ApiObjects, apiOf, modelDocument } from './api-objects.ts';
import { Cluster } from './cluster.ts';
import { TcpProxy } from './tcp-proxy.ts';

/** Nothing here takes this long; it only ends a test that would hang, milliseconds. */
const timeout = 240_000;
/** Short, so that a frozen connection is found within a test, milliseconds. */
const IDLE_MS = 1_500;
const SETTLE_MS = 60_000;
const NAMESPACE = 'ml';
const PODS = `/api/v1/namespaces/${NAMESPACE}/pods`;
const MODELS = `/apis/fairlead.dev/v1alpha1/namespaces/${NAMESPACE}/modeldeployments`;

/** Names of pods, and of the models that select them. */
const name = fc.constantFrom('a', 'b', 'c');
/** Few, so that pods come to have the address that another had. */
const ip = fc.integer({ min: 1, max: 4 }).map(last => `10.9.0.${last}`);
const change = fc.oneof(
  fc.record({ kind: fc.constant('pod'), name, app: name, ip, ready: fc.boolean() }),
  fc.record({ kind: fc.constant('status'), name, ip, ready: fc.boolean() }),
  fc.record({ kind: fc.constant('relabel'), name, app: name }),
  fc.record({ kind: fc.constant('delete pod'), name, graceful: fc.boolean() }),
  // Ids and aliases that several claim: who is served depends on who is there.
  fc.record({
    kind: fc.constant('model'),
    name,
    model: fc.constantFrom('org/x', 'org/y'),
    alias: fc.constantFrom('u', 'v'),
  }),
  fc.record({ kind: fc.constant('delete model'), name }),
);
const fault = fc.oneof(
  fc.record({ kind: fc.constant('cut') }),
  fc.record({ kind: fc.constant('cut within'), bytes: fc.nat(3_000) }),
  fc.record({ kind: fc.constant('freeze') }),
  fc.record({ kind: fc.constant('slow'), delayMs: fc.integer({ min: 1, max: 300 }) }),
  fc.record({ kind: fc.constant('mend') }),
  fc.record({ kind: fc.constant('send agents away') }),
  fc.record({ kind: fc.constant('compact') }),
);
/** Time that passes, so that what happens is told in as many ways: at once, one after the other. */
const wait = fc.record({ kind: fc.constant('wait'), ms: fc.nat(60) });
const step = fc.oneof(
  { weight: 6, arbitrary: change },
  { weight: 3, arbitrary: wait },
  { weight: 1, arbitrary: fault },
);
type Change = typeof change extends fc.Arbitrary<infer Value> ? Value : never;
type Step = typeof step extends fc.Arbitrary<infer Value> ? Value : never;

suite('the table of an agent, after any interleaving of changes and faults', { timeout: 4 * timeout }, () => {
  let cluster: Cluster;
  let proxy: TcpProxy;
  let api: ApiConnection;

  before(async () => {
    cluster = await Cluster.start();
    await new ApiObjects(cluster).prepare(NAMESPACE);
    proxy = await TcpProxy.start(Number(new URL(cluster.server).port));
    api = apiOf(cluster);
  });

  after(() => {
    proxy?.stop();
    cluster?.stop();
  });

  test('is that of a fresh list', { timeout }, async t => {
    const operator = await Operator.start(t, apiOf(cluster, `https://127.0.0.1:${proxy.port}`, IDLE_MS));
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 20, maxLength: 50 }), async steps => {
        for (const step of steps) await take(step, operator);
        mend();
        await operator.untilTable(await freshPlan());
      }),
      { numRuns: 10, endOnFailure: true },
    );
    t.diagnostic(`${operator.plans} plans, ${operator.tables} tables, ${operator.interruptions} interruptions`);
  });

  test('is that of a fresh list also when what it was going on from is forgotten', { timeout }, async t => {
    const operator = await Operator.start(t, apiOf(cluster, `https://127.0.0.1:${proxy.port}`, IDLE_MS));
    const changes = fc.array(change, { minLength: 5, maxLength: 10 });
    await fc.assert(
      fc.asyncProperty(changes, changes, async (unseen, later) => {
        const relists = operator.relists;
        proxy.freeze();
        for (const one of unseen) await take(one, operator);
        await cluster.stopApiServer();
        await cluster.startApiServer();
        for (const one of later) await take(one, operator);
        await cluster.compact();
        mend();
        await operator.untilTable(await freshPlan());
        assert.ok(operator.relists > relists, 'it had to list');
      }),
      { numRuns: 2, endOnFailure: true },
    );
  });

  function mend(): void {
    proxy.thaw();
    proxy.slow(0);
  }

  async function take(step: Step, operator: Operator): Promise<void> {
    if (step.kind === 'cut') proxy.cut();
    else if (step.kind === 'cut within') proxy.cutAfter(step.bytes);
    else if (step.kind === 'freeze') proxy.freeze();
    else if (step.kind === 'slow') proxy.slow(step.delayMs);
    else if (step.kind === 'mend') mend();
    else if (step.kind === 'send agents away') operator.sendAgentsAway();
    else if (step.kind === 'compact') await cluster.compact();
    else if (step.kind === 'wait') await delay(step.ms);
    else await apply(step as Change);
  }

  /** What cannot be done (a status of a pod that is not there) is not done. */
  async function apply(step: Change): Promise<void> {
    const { kind, name } = step;
    const pod = `${PODS}/${name}`;
    if (kind === 'pod') {
      const containers = [{ name: 'vllm', image: 'vllm' }];
      const metadata = { name, labels: { app: step.app } };
      await send('POST', PODS, { apiVersion: 'v1', kind: 'Pod', metadata, spec: { nodeName: 'node', containers } });
    }
    if (kind === 'pod' || kind === 'status') {
      const conditions = [{ type: 'Ready', status: step.ready ? 'True' : 'False' }];
      const status = { phase: 'Running', podIP: step.ip, podIPs: [{ ip: step.ip }], conditions };
      await send('PATCH', `${pod}/status`, { status });
    }
    if (kind === 'relabel') await send('PATCH', pod, { metadata: { labels: { app: step.app } } });
    if (kind === 'delete pod') await send('DELETE', pod, step.graceful ? {} : { gracePeriodSeconds: 0 });
    if (kind === 'delete model') await send('DELETE', `${MODELS}/${name}`, {});
    if (kind === 'model') {
      const document = modelDocument(NAMESPACE, name, { model: step.model, aliases: [step.alias] });
      const { failure } = await send('POST', MODELS, document);
      if (failure?.code === 409) await send('PATCH', `${MODELS}/${name}`, { spec: document.spec });
    }
  }

  function send(method: 'POST' | 'PATCH' | 'DELETE', path: string, body: object) {
    const contentType = method === 'PATCH' ? MERGE_PATCH : 'application/json';
    return api.send({ method, path, body, contentType }, AbortSignal.timeout(timeout));
  }

  /** What somebody plans who begins now. */
  async function freshPlan(): Promise<Plan> {
    const abort = new AbortController();
    let first: ClusterReading | undefined;
    const watch = await watchCluster({
      api,
      signal: abort.signal,
      onState: reading => {
        first ??= reading;
      },
    });
    abort.abort();
    await watch.ended;
    return plan(first?.state ?? assert.fail('no state was told'), { standalone: false });
  }
});

/** An operator, each of whose plans is made from the one before, and an agent that follows it. */
class Operator {
  plans = 0;
  tables = 0;
  interruptions = 0;
  relists = 0;
  readonly #publisher = new Publisher();
  #previous: Plan | undefined;
  #table: RouteTable | undefined;

  static async start(t: TestContext, api: ApiConnection): Promise<Operator> {
    const operator = new Operator();
    const stopped = new AbortController();
    const { signal } = stopped;
    const directory = mkdtempSync(join(tmpdir(), 'fairlead-convergence-'));
    const address = `unix:${join(directory, 'table')}`;
    const watch = await watchCluster({
      api,
      signal,
      onState: reading => operator.#plan(reading),
      onEvent: event => operator.#note(event),
    });
    const { closed } = await operator.#publisher.listen(address, signal);
    const feed = await TableFeed.open({
      address,
      nodeId: 'node',
      file: join(directory, 'last-table'),
      signal,
      onTable: table => {
        operator.#table = table;
        operator.tables++;
      },
    });
    t.after(async () => {
      stopped.abort();
      await Promise.all([watch.ended, closed, feed.close()]);
      rmSync(directory, { recursive: true, force: true });
    });
    return operator;
  }

  sendAgentsAway(): void {
    this.#publisher.disconnectAgents('told to');
  }

  /** Waits until the agent has the table of that plan, and the plan that was made step by step is that one. */
  async untilTable({ gateway, models, endpoints, consumers, secrets, statuses }: Plan): Promise<void> {
    const parts = () => {
      const table = this.#table;
      return table && { ...table, version: '', statuses: this.#previous?.statuses };
    };
    const wanted = { version: '', gateway, models, endpoints, consumers, agents: 1, secrets, statuses };
    await until('the table', () => isSame(parts(), wanted), SETTLE_MS).catch(() => assert.deepEqual(parts(), wanted));
  }

  #plan({ state }: ClusterReading): void {
    this.#previous = plan(state, { standalone: false }, this.#previous);
    this.#publisher.publish(this.#previous);
    this.plans++;
  }

  #note(event: SourceEvent): void {
    if (event.event !== 'source.interrupted') return;
    this.interruptions++;
    if (event.relist) this.relists++;
  }
}

function isSame(one: unknown, other: unknown): boolean {
  try {
    assert.deepEqual(one, other);
    return true;
  } catch {
    return false;
  }
}
