import { writeFileSync } from 'node:fs';
import { bootstrap, COMPONENT_LOG_LEVELS } from '../../agent/envoy/bootstrap.ts';
import type { RunDirectory } from './run-directory.ts';

/** How Envoy is run on this node. */
export interface EnvoyOptions {
  readonly binary: string;
  readonly nodeId: string;
  /** Worker threads; Envoy's own default is one per core. */
  readonly concurrency: number | undefined;
}

/** Bodies are held while they are picked for and retried: 64 of the largest (32 MiB) at once, before load is shed. */
const MAX_HEAP_BYTES = 2 * 1024 ** 3;
/** Who looks into the access log for the request that just failed should not wait for Envoy's usual ten seconds. */
const LOG_FLUSH_INTERVAL_MS = 1_000;

/**
 * Writes Envoy's bootstrap into the run directory and returns the command line that starts it there.
 * A shell raises the limit of open files first: each request takes two.
 */
export function envoyCommand(run: RunDirectory, options: EnvoyOptions): readonly [string, ...string[]] {
  const json = bootstrap({
    nodeId: options.nodeId,
    agentSocket: run.envoyAdsSocket,
    extprocSocket: run.extprocSocket,
    admin: run.envoyAdminSocket,
    maxHeapBytes: MAX_HEAP_BYTES,
  });
  writeFileSync(run.bootstrapFile, JSON.stringify(json), { mode: 0o600 });
  const concurrency = options.concurrency === undefined ? [] : ['--concurrency', String(options.concurrency)];
  return [
    '/bin/sh',
    '-c',
    'ulimit -n "$(ulimit -Hn)"; exec "$@"',
    'sh',
    options.binary,
    '--config-path',
    run.bootstrapFile,
    '--disable-hot-restart',
    // When a listener goes, its clients are told at their next answer, not one by one over ten minutes; --drain-time-s
    // stays at these ten minutes, since it cuts what is still running.
    '--drain-strategy',
    'immediate',
    '--log-level',
    'warning',
    '--component-log-level',
    COMPONENT_LOG_LEVELS,
    '--log-format',
    '%l %n %v',
    '--file-flush-interval-msec',
    String(LOG_FLUSH_INTERVAL_MS),
    ...concurrency,
  ];
}
