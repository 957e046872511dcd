import { mkdirSync, statSync } from 'node:fs';
import { type RunDirectory, runDirectory } from '../process/run-directory.ts';

const OWNER_ONLY = 0o700;
const WRITABLE_BY_OTHERS = 0o022;

/**
 * The run directory of a node's processes, made where it is missing: for its user alone. One that was there keeps its
 * mode, since it may be shared on purpose, or be no directory of ours at all; `warn` hears what that lets others do.
 */
export function ownRunDirectory(path: string, warn: (message: string) => void): RunDirectory {
  mkdirSync(path, { recursive: true, mode: OWNER_ONLY });
  if ((statSync(path).mode & WRITABLE_BY_OTHERS) !== 0) {
    warn(`${path} is writable by other users, who could put their own sockets there: chmod 700 ${path}`);
  }
  return runDirectory(path);
}
