import { once } from 'node:events';
import type { Logger } from 'pino';
import { type ApiAccess, kubeConfigAccess, podAccess } from '../../operator/api/api-access.ts';
import { ApiConnection } from '../../operator/api/api-connection.ts';
import type { Plan } from '../../operator/plan/plan.ts';
import type { PublishEvent } from '../../operator/publish/publisher.ts';
import { type DirectoryReading, watchDirectory } from '../../operator/source/directory.ts';
import type { ClusterReading } from '../../operator/source/kubernetes.ts';
import { createLog } from '../../telemetry/log.ts';
import { allProblems } from '../problem-report.ts';
import { untilStopped } from '../process/stop-signal.ts';
import { startControlPlane } from './control-plane.ts';

/** Options of `fairlead operator`. */
interface OperatorOptions {
  readonly listen: string;
  readonly logLevel: string;
  /** Of a cluster: those that count; all of them when absent. */
  readonly namespace?: readonly string[];
}

/** The control plane as a process of its own, over a directory or, without one, over the cluster of KUBECONFIG. */
export async function runOperator(directory: string | undefined, options: OperatorOptions): Promise<void> {
  const log = createLog(options.logLevel);
  const signal = untilStopped();
  const { listen } = options;
  if (directory === undefined) await followCluster(options, log, signal);
  else await followDirectory(directory, listen, log, signal);
  log.info({ event: 'operator.listening', address: listen });
  if (!signal.aborted) await once(signal, 'abort');
}

async function followDirectory(directory: string, listen: string, log: Logger, signal: AbortSignal): Promise<void> {
  const onFailure = (error: Error) => log.error({ event: 'plan.failed', err: error });
  await startControlPlane<DirectoryReading>({
    ...publishing(listen, log, signal),
    watch: onState => watchDirectory(directory, { signal, onState, onFailure }),
    standalone: true,
    onPlan: ({ plan, reading, version }) => {
      log.info({ event: 'plan.made', version, models: plan.models.size });
      for (const problem of allProblems(reading, plan)) log.warn({ event: 'source.problem', ...problem });
    },
  });
}

async function followCluster({ listen, namespace }: OperatorOptions, log: Logger, signal: AbortSignal): Promise<void> {
  const { watchCluster } = await import('../../operator/source/kubernetes.ts');
  const api = new ApiConnection(await apiAccess());
  const namespaces = namespace && { namespaces: namespace };
  await startControlPlane<ClusterReading>({
    ...publishing(listen, log, signal),
    watch: onState => watchCluster({ api, ...namespaces, signal, onState, onEvent: event => log.info(event) }),
    standalone: false,
    onPlan: ({ plan, reading, version }) => {
      log.info({ event: 'plan.made', version, models: plan.models.size });
      for (const refused of reading.refused) log.warn({ event: 'source.refused', ...refused });
      for (const refused of unaccepted(plan)) log.warn({ event: 'plan.refused', ...refused });
      for (const warning of plan.warnings) log.warn({ event: 'plan.warning', ...warning });
    },
  });
}

/** KUBECONFIG counts before the pod that this runs in, as it does for kubectl. */
async function apiAccess(): Promise<ApiAccess> {
  const ofPod = process.env.KUBECONFIG === undefined ? podAccess(process.env) : undefined;
  if (ofPod !== undefined) return ofPod;
  // Loaded only where it is needed: it takes more memory than all the rest of an operator in a pod.
  const { KubeConfig } = await import('@kubernetes/client-node');
  const kubeConfig = new KubeConfig();
  kubeConfig.loadFromDefault();
  return kubeConfigAccess(kubeConfig);
}

/** Resources that lost to an older one, and to which: nobody writes their status yet. */
function unaccepted({ statuses, gatewayStatuses }: Plan): { resource: string; message: string }[] {
  return [...statuses, ...gatewayStatuses].flatMap(([resource, { conditions }]) =>
    conditions
      .filter(({ type, status }) => type === 'Accepted' && status === 'False')
      .map(({ message }) => ({ resource, message })),
  );
}

/** What both sources have in common. */
function publishing(listen: string, log: Logger, signal: AbortSignal) {
  return {
    listen,
    signal,
    onFailure: (error: Error) => log.error({ event: 'source.failed', err: error }),
    onEvent: (event: PublishEvent) => log.info(event),
    onAgents: () => undefined,
  };
}

/**
 * Whether only this machine reaches an address: agents are not authenticated, and nothing is encrypted. Whatever is not
 * surely local counts as not.
 */
export function isLocal(listen: string): boolean {
  return /^(unix:.+|(localhost|127(\.\d{1,3}){3}|\[::1\]):\d+)$/.test(listen);
}
