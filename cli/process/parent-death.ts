import { existsSync } from 'node:fs';

const SETPRIV = '/usr/bin/setpriv';

/** Whether this machine's kernel can be asked to end a child with its parent (prctl(2), PR_SET_PDEATHSIG; util-linux). */
export const HAS_PARENT_DEATH_SIGNAL = process.platform === 'linux' && existsSync(SETPRIV);

/**
 * Its parent may have died before the kernel was asked: then nobody would end the program any more. PPID is read by the
 * shell as it starts, which is after the asking.
 */
const UNLESS_ORPHANED = '[ "$PPID" = "$1" ] || exit 1; shift; exec "$@"';

/** The command line, wrapped so that the kernel kills the program when its parent dies, where there is a way. */
export function withParentDeathSignal(command: readonly [string, ...string[]]): [string, ...string[]] {
  if (!HAS_PARENT_DEATH_SIGNAL) return [...command];
  return [SETPRIV, '--pdeathsig', 'KILL', '/bin/sh', '-c', UNLESS_ORPHANED, 'sh', String(process.pid), ...command];
}
