import { setTimeout as delay } from 'node:timers/promises';
import type { AdminAddress } from '../../agent/admin/admin-server.ts';
import { runDataPlane } from '../../extproc/data-plane.ts';
import { createLog } from '../../telemetry/log.ts';
import { openUsageLog } from '../../telemetry/usage-log.ts';
import { envoyListens } from '../process/envoy-admin.ts';
import { untilStopped } from '../process/stop-signal.ts';
import { AgentThread } from './agent-thread.ts';
import { ownRunDirectory } from './own-run-directory.ts';

/** Options of `fairlead extproc`. */
interface ExtprocOptions {
  readonly controlPlane: string;
  readonly controlPlaneCa?: string;
  readonly controlPlaneToken?: string;
  readonly runDir: string;
  readonly nodeId: string;
  readonly accessLog: string;
  /** Where what each request took is written: a file, or "stdout". */
  readonly usageRecords?: string;
  /** Where what this process counts in its memory is kept. */
  readonly countersFile?: string;
  readonly logLevel: string;
  /** Where the health of this process is told, whatever table it has. */
  readonly probeListen?: AdminAddress;
  /** How long it goes on after it was told to stop, as long as its Envoy runs; milliseconds. */
  readonly stopGrace: number;
}

/**
 * The data plane of a node: this thread answers Envoy, the agent's thread does everything else.
 *
 * @throws Error when either cannot begin or go on: without its agent this process would serve an ever older table, so
 * it ends, and whoever started it starts it again
 */
export async function runExtproc(options: ExtprocOptions): Promise<void> {
  const log = createLog(options.logLevel);
  const run = ownRunDirectory(options.runDir);
  const stopped = untilStopped();
  const { controlPlaneCa: ca, controlPlaneToken: token } = options;
  const agent = new AgentThread({
    controlPlane: options.controlPlane,
    ...(ca !== undefined && token !== undefined && { controlPlaneFiles: { ca, token } }),
    nodeId: options.nodeId,
    envoyAdsSocket: run.envoyAdsSocket,
    tableFile: run.tableFile,
    envoy: { accessLogPath: options.accessLog },
    logLevel: options.logLevel,
    ...(options.probeListen && { probe: options.probeListen }),
  });
  const signal = AbortSignal.any([released(stopped, run.envoyAdminSocket, options.stopGrace), agent.failed]);
  try {
    const { countersFile, usageRecords } = options;
    const lost = (reason: string) => log.warn({ event: 'usage.lost', file: usageRecords, reason });
    const usage = usageRecords === undefined ? undefined : openUsageLog(usageRecords, lost);
    const kept = { ...(countersFile !== undefined && { countersFile }), ...(usage && { usage }) };
    await runDataPlane({ socketPath: run.extprocSocket, agent: agent.worker, log, signal, ...kept });
  } finally {
    await agent.stop();
  }
  if (agent.failed.aborted) throw agent.failed.reason;
}

const ENVOY_POLL_MS = 200;

/** Aborts when this process was told to stop and its Envoy, which may still drain, has ended or had its time. */
function released(stopped: AbortSignal, envoyAdminSocket: string, graceMs: number): AbortSignal {
  const release = new AbortController();
  const wait = async () => {
    const deadlineMs = performance.now() + graceMs;
    while (performance.now() < deadlineMs && (await envoyListens(envoyAdminSocket))) await delay(ENVOY_POLL_MS);
    release.abort();
  };
  stopped.addEventListener('abort', () => void wait(), { once: true });
  return release.signal;
}
