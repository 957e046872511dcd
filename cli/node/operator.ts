import { createLog } from '../../telemetry/log.ts';
import { untilStopped } from '../process/stop-signal.ts';
import type { OperatorOptions } from './operator-options.ts';

/**
 * The control plane as a process of its own, over a directory or, without one, over a cluster. Only the one that runs
 * is loaded: what reads files takes memory that an operator in a cluster has no use for.
 */
export async function runOperator(directory: string | undefined, options: OperatorOptions): Promise<void> {
  const log = createLog(options.logLevel);
  const signal = untilStopped();
  if (directory === undefined) {
    const { runClusterOperator } = await import('./cluster-operator.ts');
    await runClusterOperator(options, log, signal);
  } else {
    const { runDirectoryOperator } = await import('./directory-operator.ts');
    await runDirectoryOperator(directory, options.listen, log, signal);
  }
}
