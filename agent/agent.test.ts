import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { MessageChannel } from 'node:worker_threads';
import type { ServerDuplexStream } from '@grpc/grpc-js';
import type { NodeReport, ReportSummary } from '../proto/gen/fairlead/v1/report_pb.js';
import { reportMethod } from '../proto/report-method.ts';
import { ENDPOINT_GROUP_TYPE, GATEWAY_TYPE, MODEL_TYPE, TABLE_VERSION_TYPE } from '../proto/table-types.ts';
import { createLog } from '../telemetry/log.ts';
import { atomic } from '../xds/atomic-order.ts';
import { DeltaServer } from '../xds/delta-server.ts';
import { createGrpcServer, listenGrpc } from '../xds/grpc-listen.ts';
import type { Resource } from '../xds/resource.ts';
import { runAgent } from './agent.ts';
import type { ToAgent, ToDataThread } from './messages.ts';
import type { TableDelta } from './table/route-table.ts';
import { endpointsPart, gatewayPart, modelPart, versionPart } from './table/table-parts.fixture.ts';

/** Waits until something that was noted fulfils a condition. */
class Noted<Item> {
  readonly items: Item[] = [];
  #more = Promise.withResolvers<void>();

  note(item: Item): void {
    this.items.push(item);
    this.#more.resolve();
    this.#more = Promise.withResolvers();
  }

  async until(holds: (item: Item) => boolean): Promise<Item> {
    for (;;) {
      const found = this.items.find(holds);
      if (found !== undefined) return found;
      await this.#more.promise;
    }
  }
}

async function controlPlane(directory: string) {
  const server = new DeltaServer({
    order: atomic({ types: [GATEWAY_TYPE, MODEL_TYPE, ENDPOINT_GROUP_TYPE], completedBy: TABLE_VERSION_TYPE }),
  });
  const reports = new Noted<NodeReport>();
  const calls = new Set<ServerDuplexStream<NodeReport, ReportSummary>>();
  const grpc = createGrpcServer();
  server.addTo(grpc);
  grpc.addService(
    { report: reportMethod },
    {
      report: (call: ServerDuplexStream<NodeReport, ReportSummary>) => {
        calls.add(call);
        call.on('error', () => {});
        call.on('data', report => reports.note(report));
      },
    },
  );
  const stopped = new AbortController();
  const { closed } = await listenGrpc(grpc, `unix:${join(directory, 'control-plane')}`, stopped.signal);
  return {
    reports,
    publish: (version: string, ...parts: Resource[]) => server.replace(version, [...parts, versionPart(version)]),
    stop: async () => {
      server.close();
      for (const call of calls) call.end();
      stopped.abort();
      await closed;
    },
  };
}

/** An agent with a data thread that fails at tables that are `refused`. */
function startAgent(directory: string, refused: (delta: TableDelta) => boolean = () => false) {
  const events = new Noted<Record<string, unknown>>();
  const log = createLog('info', { write: line => events.note(JSON.parse(line)) });
  const deltas: TableDelta[] = [];
  const { port1, port2 } = new MessageChannel();
  port2.on('message', (message: ToDataThread) => {
    if (message.kind !== 'table') return;
    const { request, delta } = message;
    deltas.push(delta);
    if (refused(delta)) port2.postMessage({ kind: 'failed', request, message: 'no such strategy' });
    else port2.postMessage({ kind: 'applied', request, answer: undefined });
  });
  const stopped = new AbortController();
  const ended = runAgent(
    {
      controlPlane: `unix:${join(directory, 'control-plane')}`,
      nodeId: 'node',
      envoyAdsSocket: join(directory, 'envoy'),
      tableFile: join(directory, 'table'),
      envoy: { accessLogPath: '/dev/null' },
    },
    port1,
    log,
    stopped.signal,
  );
  const stop = async () => {
    stopped.abort();
    await ended;
    port1.close();
  };
  return { events, deltas, stop, say: (message: ToAgent) => port2.postMessage(message) };
}

async function temporary(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'fairlead-agent-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

const good = [gatewayPart('1'), modelPart('ml/a', '1')];
/** Reads well, but no Envoy could be told of it. */
const underivable = endpointsPart('ml/a/x', '10.0.0.1:99999999');
const withBackend = (version: string) => modelPart('ml/a', version, 'x');

test('a table that Envoy cannot be told of is reported, and the one before stays, also on disk', async t => {
  const directory = await temporary(t);
  const { publish, reports, stop } = await controlPlane(directory);
  const first = startAgent(directory);
  publish('1', ...good);
  await first.events.until(({ event, version }) => event === 'table.applied' && version === '1');
  publish('2', gatewayPart('1'), withBackend('2'), underivable);
  const { message, served } = await first.events.until(({ event }) => event === 'table.unusable');
  assert.match(String(message), /10\.0\.0\.1:99999999/);
  assert.equal(served, '1');
  const { tableVersion, rejections } = await reports.until(report => report.rejections.length > 0);
  assert.deepEqual([tableVersion, rejections[0]?.resource], ['1', 'table 2']);
  await first.stop();
  await stop();

  const second = startAgent(directory);
  const restored = await second.events.until(({ event }) => event === 'table.applied');
  assert.equal(restored.version, '1');
  const later = await controlPlane(directory);
  later.publish('3', gatewayPart('1'), withBackend('3'));
  await second.events.until(({ event, version }) => event === 'table.applied' && version === '3');
  await second.stop();
  await later.stop();
});

test('a picker that fails at a table is led back to the one before, and follows the next', async t => {
  const directory = await temporary(t);
  const { publish, reports, stop } = await controlPlane(directory);
  const agent = startAgent(directory, ({ version }) => version === '2');
  publish('1', ...good);
  await agent.events.until(({ event }) => event === 'table.applied');
  publish('2', gatewayPart('1'), modelPart('ml/b', '1'));
  await agent.events.until(({ event }) => event === 'table.unusable');
  publish('3', ...good, modelPart('ml/c', '1'));
  await agent.events.until(({ event, version }) => event === 'table.applied' && version === '3');
  const changes = agent.deltas.map(({ version, models, removedModels }) => [
    version,
    models.map(([name]) => name),
    removedModels,
  ]);
  assert.deepEqual(changes, [
    ['1', ['ml/a'], []],
    ['2', ['ml/b'], ['ml/a']],
    ['1', ['ml/a'], ['ml/b']],
    ['3', ['ml/a', 'ml/c'], []],
  ]);
  const { rejections } = await reports.until(({ tableVersion }) => tableVersion === '3');
  assert.deepEqual(rejections, []);
  await agent.stop();
  await stop();
});

test('what the picker says of budgets and of the store of limits is reported, until it says otherwise', async t => {
  const directory = await temporary(t);
  const { publish, reports, stop } = await controlPlane(directory);
  const agent = startAgent(directory);
  publish('1', ...good);
  await agent.events.until(({ event }) => event === 'table.applied');
  const budget = { consumer: 'ml/ann', periodStartMs: 1, periodEndMs: 2, currency: 'EUR' };
  const [spent, amount] = [8_999_999_999_999_999, 9_000_000_000_000_000];
  agent.say({ kind: 'limits', budgets: [{ ...budget, spent, amount }], storeFailure: 'ECONNREFUSED' });
  const told = await reports.until(({ limitStoreFailure }) => limitStoreFailure !== '');
  const [state] = told.budgets;
  assert.deepEqual([state?.consumer, state?.spent, state?.amount], ['ml/ann', BigInt(spent), BigInt(amount)]);
  assert.equal(told.tableVersion, '1');
  const before = reports.items.length;
  agent.say({ kind: 'limits', budgets: [], storeFailure: '' });
  await reports.until(report => reports.items.indexOf(report) >= before && report.limitStoreFailure === '');
  await agent.stop();
  await stop();
});
