import { once } from 'node:events';
import type { Logger } from 'pino';
import type { ToAgent, ToDataThread } from '../agent/messages.ts';
import type { TableDelta } from '../agent/table/route-table.ts';
import { codeOf } from '../errors/envoy-replies.ts';
import type { UsageLog } from '../telemetry/usage-log.ts';
import { accounting } from './accounting.ts';
import { Admission } from './admit/admission.ts';
import { CounterFile } from './admit/saved-counters.ts';
import { StoreInUse } from './admit/store-in-use.ts';
import { EndpointLoad } from './endpoint-load/endpoint-load.ts';
import { type DataPlane, Exchange } from './exchange.ts';
import { ExchangeIds } from './exchange-ids.ts';
import { explainModel } from './explain-model.ts';
import { guard } from './guard.ts';
import { ConsumerIndex } from './identity/consumer-index.ts';
import { LimitReport } from './limit-report.ts';
import { ModelIndex } from './models/model-index.ts';
import { accessLogOf } from './outcome/access-log.ts';
import { Ledger } from './outcome/ledger.ts';
import { Picker } from './pick/picker.ts';
import { mulberry32, processSeed } from './pick/random.ts';
import { serveGrpcJs } from './server/grpc-js-transport.ts';
import type { AccessLogHandler } from './server/transport.ts';
import { snapshotOf } from './snapshot.ts';

/** The agent's thread, as this one talks to it: a Worker or a MessagePort. */
interface AgentThread {
  postMessage(message: ToAgent): void;
  on(event: 'message', listener: (message: ToDataThread) => void): unknown;
}

export interface DataPlaneOptions {
  /** Unix socket where Envoy finds ext_proc and the access log service. */
  readonly socketPath: string;
  readonly agent: AgentThread;
  readonly log: Logger;
  readonly signal: AbortSignal;
  /** Where this process keeps what its memory has counted over long periods; nowhere when absent. */
  readonly countersFile?: string;
  /** Where what each request took is written to. */
  readonly usage?: UsageLog;
}

/** The largest body that a gateway can be set to accept (128 MiB), and room for the message around it. */
const MAX_MESSAGE_BYTES = 136 * 1024 * 1024;
/** How often records that never came are looked for, and counters that are over. */
const EXPIRE_INTERVAL_MS = 1_000;

/** The parts of a data plane that requests do not see. */
interface Workings extends DataPlane {
  readonly store: StoreInUse;
  readonly report: LimitReport;
}

/** Serves exchanges by the tables that the agent hands over, until the signal aborts; open streams then end cleanly. */
export async function runDataPlane(options: DataPlaneOptions): Promise<void> {
  const { socketPath, agent, log, signal, usage } = options;
  const plane = createDataPlane(options);
  const counters = await openCounters(options, plane);
  agent.on('message', message => answerAgent(plane, agent, message));
  const transport = await serveGrpcJs({
    path: socketPath,
    openExchange: stream => new Exchange(plane, stream),
    accessLog: guardedAccessLog(plane),
    maxMessageBytes: MAX_MESSAGE_BYTES,
  });
  log.info({ event: 'extproc.listening', socket: socketPath });
  const expiring = setInterval(() => guard(log, 'ledger.failed', () => expire(plane)), EXPIRE_INTERVAL_MS);
  if (!signal.aborted) await once(signal, 'abort');
  clearInterval(expiring);
  await transport.drain();
  guard(log, 'ledger.failed', () => plane.ledger.settleAwaiting());
  // Only now: they are told what was settled.
  await Promise.all([plane.store.close(), counters?.close(), usage?.close()]);
}

function createDataPlane({ agent, log, usage }: DataPlaneOptions): Workings {
  const load = new EndpointLoad();
  const models = new ModelIndex(load);
  const nowMs = () => performance.now();
  const epochMs = () => Date.now();
  const ids = new ExchangeIds();
  const onChange = (failure: string | undefined) => {
    if (failure !== undefined) log.warn({ event: 'limits.store_failed', reason: failure });
    else if (store.isShared) log.info({ event: 'limits.store_used' });
  };
  const store: StoreInUse = new StoreInUse({ epochMs, nowMs, onChange });
  const admission = new Admission({
    store: () => store.current,
    nowMs: epochMs,
    nextId: ids.next,
    failed: error => log.error({ event: 'admission.failed', err: error }),
  });
  const isServed = (id: string) => models.resolve(id) !== undefined;
  const { isOwn } = ids;
  return {
    models,
    consumers: new ConsumerIndex(),
    admission,
    load,
    picker: new Picker(load, mulberry32(processSeed())),
    ledger: new Ledger({ load, codeOf, isOwn, isServed, nowMs, ...accounting({ admission, usage, epochMs }) }),
    log,
    nowMs,
    epochMs,
    nextId: ids.next,
    store,
    report: new LimitReport({ admission, store, tell: message => agent.postMessage(message) }),
  };
}

function openCounters({ countersFile, log }: DataPlaneOptions, { store }: Workings): Promise<CounterFile> | undefined {
  if (countersFile === undefined) return undefined;
  const failed = (reason: string) => log.warn({ event: 'limits.counters_not_kept', file: countersFile, reason });
  return CounterFile.open({ path: countersFile, store: store.local, failed });
}

function guardedAccessLog({ ledger, log }: DataPlane): AccessLogHandler {
  const handler = accessLogOf(ledger);
  return {
    entries: (logName, entries) => guard(log, 'access_log.failed', () => handler.entries(logName, entries)),
  };
}

function expire({ ledger, store, report, nowMs }: Workings): void {
  ledger.expire(nowMs());
  store.expire();
  report.refresh();
}

function answerAgent(plane: Workings, agent: AgentThread, message: ToDataThread): void {
  const { kind, request } = message;
  try {
    agent.postMessage(answerTo(plane, message));
  } catch (error) {
    plane.log.error({ event: 'agent.not_answered', question: kind, err: error });
    agent.postMessage({ kind: 'failed', request, message: error instanceof Error ? error.message : String(error) });
  }
}

function answerTo(plane: Workings, message: ToDataThread): ToAgent {
  const { request } = message;
  switch (message.kind) {
    case 'table':
      follow(plane, message.delta);
      return { kind: 'applied', request, answer: undefined };
    case 'alive?':
      return { kind: 'alive', request, answer: undefined };
    case 'snapshot?':
      return { kind: 'snapshot', request, answer: snapshotOf(plane) };
    case 'explain?':
      return { kind: 'explain', request, answer: explainModel(plane, message.model) };
  }
}

function follow({ models, consumers, admission, store }: Workings, delta: TableDelta): void {
  models.apply(delta);
  consumers.apply(delta);
  if (delta.agents !== undefined) store.tellAgents(delta.agents);
  if (delta.limitStore !== undefined) store.follow(delta.limitStore);
  if (delta.removedModels.length + delta.removedConsumers.length === 0) return;
  admission.keepOnly(
    key => consumers.get(key) !== undefined,
    key => models.has(key),
  );
}
