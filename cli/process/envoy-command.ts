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
/** Of a container's memory: the rest is for code, stacks and what the allocator keeps. Load is shed before it is full. */
const MAX_HEAP_SHARE = 0.75;
/** No request may last longer (crds/duration.ts). */
const MAX_REQUEST_S = 86_400;
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
    maxHeapBytes: maxHeapBytes(process.constrainedMemory()),
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
    // When a listener goes or changes, its clients are told at their next answer, not one by one over the drain time,
    // at whose end Envoy cuts what still runs there: so it is as long as anything may run.
    '--drain-strategy',
    'immediate',
    '--drain-time-s',
    String(MAX_REQUEST_S),
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

/** @param limitBytes of this container; 0 or beyond any machine where there is none */
function maxHeapBytes(limitBytes: number): number {
  return limitBytes > 0 ? Math.min(MAX_HEAP_BYTES, Math.floor(limitBytes * MAX_HEAP_SHARE)) : MAX_HEAP_BYTES;
}
