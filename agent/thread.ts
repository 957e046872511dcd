import { parentPort, workerData } from 'node:worker_threads';
import { createLog } from '../telemetry/log.ts';
import { type AgentOptions, runAgent } from './agent.ts';
import type { ToAgent } from './messages.ts';

/** What the thread is started with. */
export interface AgentThreadData extends AgentOptions {
  readonly logLevel: string;
}

// The agent's own thread: deriving, encoding, disk and metrics text stay off the data thread.
if (parentPort === null) throw new Error('agent/thread.ts runs as a worker thread');
const { logLevel, ...options } = workerData as AgentThreadData;
const ended = new AbortController();
parentPort.on('message', (message: ToAgent) => message.kind === 'stop' && ended.abort());
await runAgent(options, parentPort, createLog(logLevel), ended.signal);
// An open port would keep the thread alive; what the agent is closing still does, until it is closed.
parentPort.close();
