import { readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { envoyAdmin } from '../../../cli/process/envoy-admin.ts';
import { runDirectory } from '../../../cli/process/run-directory.ts';

/** Where the Envoy of that process id meets its node: `--config-path` says. */
function runDirectoryOf(envoyPid: number) {
  const args = readFileSync(`/proc/${envoyPid}/cmdline`, 'utf8').split('\0');
  return runDirectory(dirname(args[args.indexOf('--config-path') + 1] ?? ''));
}

/** Envoy's counters and gauges whose names match, by name. */
export async function envoyStats(envoyPid: number, filter: string): Promise<ReadonlyMap<string, number>> {
  const socket = runDirectoryOf(envoyPid).envoyAdminSocket;
  const text = await envoyAdmin(socket, 'GET', `/stats?filter=${encodeURIComponent(filter)}`);
  const lines = text.split('\n').filter(line => line !== '');
  return new Map(
    lines.map(line => [line.slice(0, line.lastIndexOf(': ')), Number(line.slice(line.lastIndexOf(': ') + 2))]),
  );
}

/** How many hosts each of Envoy's clusters has. */
export async function envoyHosts(envoyPid: number): Promise<ReadonlyMap<string, number>> {
  const text = await envoyAdmin(runDirectoryOf(envoyPid).envoyAdminSocket, 'GET', '/clusters?format=json');
  const { cluster_statuses: clusters } = JSON.parse(text) as {
    readonly cluster_statuses: readonly { readonly name: string; readonly host_statuses?: readonly unknown[] }[];
  };
  return new Map(clusters.map(({ name, host_statuses: hosts = [] }) => [name, hosts.length]));
}
