import { CommanderError } from 'commander';
import { commandLine } from './command-line.ts';

/** Exit codes: 0 done, 1 it says what failed, 2 called wrongly. */
const FAILED = 1;
const MISUSED = 2;

try {
  await commandLine().parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? 0 : MISUSED;
  } else {
    process.stderr.write(`fairlead: ${error instanceof Error ? error.message : error}\n`);
    // What has failed is over, whatever it left open: a process that hung here would never be started again.
    process.exit(FAILED);
  }
}
