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
  const say = (line: string) => process.stderr.write(`${line}\n`);
  const run = ownRunDirectory(runDir, say);
  const binary = await envoyBinary(say);
  const [command, ...args] = envoyCommand(run, { binary, nodeId, concurrency });
  if (!process.execve) throw new Error('this Node cannot replace itself by another program');
  process.execve(command, [command, ...args]);
}
