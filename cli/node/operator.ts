import { once } from 'node:events';
import type { Logger } from 'pino';
import { Publisher } from '../../operator/publish/publisher.ts';
import { type DirectoryReading, watchDirectory } from '../../operator/source/directory.ts';
import { createLog } from '../../telemetry/log.ts';
import { allProblems } from '../problem-report.ts';
import { untilStopped } from '../process/stop-signal.ts';
import { startControlPlane } from './control-plane.ts';
import type { OperatorOptions } from './operator-options.ts';

/** The control plane as a process of its own, over a directory or, without one, over a cluster. */
export async function runOperator(directory: string | undefined, options: OperatorOptions): Promise<void> {
  const log = createLog(options.logLevel);
  const signal = untilStopped();
  if (directory === undefined) {
    const { runClusterOperator } = await import('./cluster-operator.ts');
    await runClusterOperator(options, log, signal);
  } else {
    await followDirectory(directory, options.listen, log, signal);
  }
}

async function followDirectory(directory: string, listen: string, log: Logger, signal: AbortSignal): Promise<void> {
  const onFailure = (error: Error) => log.error({ event: 'plan.failed', err: error });
  const publisher = new Publisher({ onEvent: event => log.info(event) });
  await startControlPlane<DirectoryReading>({
    publisher,
    watch: onState => watchDirectory(directory, { signal, onState, onFailure }),
    standalone: true,
    onFailure,
    onPlan: ({ plan, reading, version }) => {
      log.info({ event: 'plan.made', version, models: plan.models.size });
      for (const problem of allProblems(reading, plan)) log.warn({ event: 'source.problem', ...problem });
    },
  });
  await publisher.listen(listen, signal);
  log.info({ event: 'operator.listening', address: listen });
  if (!signal.aborted) await once(signal, 'abort');
}
