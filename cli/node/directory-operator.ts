import { once } from 'node:events';
import type { Logger } from 'pino';
import { Publisher } from '../../operator/publish/publisher.ts';
import { type DirectoryReading, watchDirectory } from '../../operator/source/directory.ts';
import { allProblems } from '../problem-report.ts';
import { startControlPlane } from './control-plane.ts';

/** The control plane over a directory, for agents at `listen`, until `signal` is aborted. */
export async function runDirectoryOperator(
  directory: string,
  listen: string,
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
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
