import { availableParallelism } from 'node:os';
import { envoyCommand } from '../process/envoy-command.ts';
import { envoyBinary } from '../setup/envoy-binary.ts';
import { ownRunDirectory } from './own-run-directory.ts';

/** Options of `fairlead envoy`. */
interface EnvoyCommandOptions {
  readonly runDir: string;
  readonly nodeId: string;
  readonly concurrency?: number;
}

/** Turns this process into Envoy: signals and exit code are Envoy's from here on. */
export async function becomeEnvoy({ runDir, nodeId, concurrency }: EnvoyCommandOptions): Promise<void> {
  const run = ownRunDirectory(runDir);
  const binary = await envoyBinary(line => process.stderr.write(`${line}\n`));
  const [command, ...args] = envoyCommand(run, {
    binary,
    nodeId,
    // Envoy itself counts the node's cores, whatever share of them the container has.
    concurrency: concurrency ?? availableParallelism(),
  });
  if (!process.execve) throw new Error('this Node cannot replace itself by another program');
  process.execve(command, [command, ...args]);
}
