import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Child } from './child.ts';
import type { Gateway } from './gateway.ts';
import { until } from './until.ts';

/**
 * Starts more agents under the control plane of a gateway, without an Envoy: nobody asks them, but they are of its fleet.
 * To be ended. Resolves once the gateway has been told how many they are.
 */
export async function startIdleAgents(gateway: Gateway, count: number): Promise<Child[]> {
  const args = readFileSync(`/proc/${gateway.children().extproc}/cmdline`, 'utf8').split('\0');
  const controlPlane = args[args.indexOf('--control-plane') + 1] ?? '';
  const own = (at: number) => ['--run-dir', join(gateway.directory, `.idle-${at}`), '--node-id', `idle-${at}`];
  const agents = Array.from(
    { length: count },
    (_, at) => new Child('extproc', '--control-plane', controlPlane, ...own(at)),
  );
  await until('a table that tells of all', async () => {
    const connected = gateway.events<AgentEvent>('agent.connected').filter(({ node }) => node.startsWith('idle-'));
    const lastMs = connected.at(-1)?.time ?? Number.POSITIVE_INFINITY;
    const published = gateway.events<TableEvent>('table.published').at(-1);
    if (connected.length < count || published === undefined || published.time < lastMs) return false;
    return (await gateway.node()).table?.version === published.version;
  });
  return agents;
}

interface AgentEvent {
  readonly time: number;
  readonly node: string;
}

interface TableEvent {
  readonly time: number;
  readonly version: string;
}
