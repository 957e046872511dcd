import { runDataPlane } from '../../extproc/data-plane.ts';
import { createLog } from '../../telemetry/log.ts';
import { untilStopped } from '../process/stop-signal.ts';
import { AgentThread } from './agent-thread.ts';
import { ownRunDirectory } from './own-run-directory.ts';

/** Options of `fairlead extproc`. */
interface ExtprocOptions {
  readonly controlPlane: string;
  readonly runDir: string;
  readonly nodeId: string;
  readonly accessLog: string;
  readonly logLevel: string;
}

/**
 * The data plane of a node: this thread answers Envoy, the agent's thread does everything else.
 *
 * @throws Error when either cannot begin or go on: without its agent this process would serve an ever older table, so
 * it ends, and whoever started it starts it again
 */
export async function runExtproc(options: ExtprocOptions): Promise<void> {
  const log = createLog(options.logLevel);
  const run = ownRunDirectory(options.runDir, message => log.warn({ event: 'run_directory.open', message }));
  const stopped = untilStopped();
  const agent = new AgentThread({
    controlPlane: options.controlPlane,
    nodeId: options.nodeId,
    envoyAdsSocket: run.envoyAdsSocket,
    tableFile: run.tableFile,
    envoy: { accessLogPath: options.accessLog },
    logLevel: options.logLevel,
  });
  const signal = AbortSignal.any([stopped, agent.failed]);
  try {
    await runDataPlane({ socketPath: run.extprocSocket, agent: agent.worker, log, signal });
  } finally {
    await agent.stop();
  }
  if (agent.failed.aborted) throw agent.failed.reason;
}
