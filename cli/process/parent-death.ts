import { existsSync } from 'node:fs';

const SETPRIV = '/usr/bin/setpriv';

/** Whether this machine's kernel can be asked to end a child with its parent (prctl(2), PR_SET_PDEATHSIG; util-linux). */
export const HAS_PARENT_DEATH_SIGNAL = process.platform === 'linux' && existsSync(SETPRIV);

/** The command line, wrapped so that the kernel kills the program when its parent dies, where there is a way. */
export function withParentDeathSignal(command: readonly [string, ...string[]]): [string, ...string[]] {
  return HAS_PARENT_DEATH_SIGNAL ? [SETPRIV, '--pdeathsig', 'KILL', ...command] : [...command];
}
