import { once } from 'node:events';
import type { Logger } from 'pino';
import type { ToAgent, ToDataThread } from '../agent/messages.ts';
import { codeOf } from '../errors/envoy-replies.ts';
import { EndpointLoad } from './endpoint-load/endpoint-load.ts';
import { type DataPlane, Exchange } from './exchange.ts';
import { ExchangeIds } from './exchange-ids.ts';
import { explainModel } from './explain-model.ts';
import { guard } from './guard.ts';
import { ConsumerIndex } from './identity/consumer-index.ts';
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
}

/** The largest body that a gateway can be set to accept (128 MiB), and room for the message around it. */
const MAX_MESSAGE_BYTES = 136 * 1024 * 1024;
/** How often records that never came are looked for. */
const EXPIRE_INTERVAL_MS = 1_000;

/** Serves exchanges by the tables that the agent hands over, until the signal aborts; open streams then end cleanly. */
export async function runDataPlane({ socketPath, agent, log, signal }: DataPlaneOptions): Promise<void> {
  const plane = createDataPlane(log);
  agent.on('message', message => answerAgent(plane, agent, message));
  const transport = await serveGrpcJs({
    path: socketPath,
    openExchange: stream => new Exchange(plane, stream),
    accessLog: guardedAccessLog(plane),
    maxMessageBytes: MAX_MESSAGE_BYTES,
  });
  log.info({ event: 'extproc.listening', socket: socketPath });
  const expire = () => guard(log, 'ledger.failed', () => plane.ledger.expire(plane.nowMs()));
  const expiring = setInterval(expire, EXPIRE_INTERVAL_MS);
  if (!signal.aborted) await once(signal, 'abort');
  clearInterval(expiring);
  await transport.drain();
}

function createDataPlane(log: Logger): DataPlane {
  const load = new EndpointLoad();
  const models = new ModelIndex(load);
  const nowMs = () => performance.now();
  const ids = new ExchangeIds();
  return {
    models,
    consumers: new ConsumerIndex(),
    load,
    picker: new Picker(load, mulberry32(processSeed())),
    ledger: new Ledger({ load, codeOf, isOwn: ids.isOwn, isServed: id => models.resolve(id) !== undefined, nowMs }),
    log,
    nowMs,
    epochMs: () => Date.now(),
    nextId: ids.next,
  };
}

function guardedAccessLog({ ledger, log }: DataPlane): AccessLogHandler {
  const handler = accessLogOf(ledger);
  return {
    entries: (logName, entries) => guard(log, 'access_log.failed', () => handler.entries(logName, entries)),
  };
}

function answerAgent(plane: DataPlane, agent: AgentThread, message: ToDataThread): void {
  const { kind, request } = message;
  try {
    agent.postMessage(answerTo(plane, message));
  } catch (error) {
    plane.log.error({ event: 'agent.not_answered', question: kind, err: error });
    agent.postMessage({ kind: 'failed', request, message: error instanceof Error ? error.message : String(error) });
  }
}

function answerTo(plane: DataPlane, message: ToDataThread): ToAgent {
  const { request } = message;
  switch (message.kind) {
    case 'table':
      plane.models.apply(message.delta);
      plane.consumers.apply(message.delta);
      return { kind: 'applied', request, answer: undefined };
    case 'alive?':
      return { kind: 'alive', request, answer: undefined };
    case 'snapshot?':
      return { kind: 'snapshot', request, answer: snapshotOf(plane) };
    case 'explain?':
      return { kind: 'explain', request, answer: explainModel(plane, message.model) };
  }
}
