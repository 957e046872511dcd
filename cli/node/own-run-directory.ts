import { lstatSync, mkdirSync, type Stats, statSync } from 'node:fs';
import { join } from 'node:path';
import { type RunDirectory, runDirectory } from '../process/run-directory.ts';

const OWNER_ONLY = 0o700;
const OF_OTHERS = 0o077;
const WRITABLE_BY_OTHERS = 0o022;

/**
 * The run directory of a node's processes, made where it is missing: for its user alone. One that is not its user's
 * alone to write to, as a volume that the kubelet makes for the containers of a pod, gets a directory for this user
 * inside. All processes of a node run as the same user and so find the same.
 *
 * @throws Error when another user has put something in its place
 */
export function ownRunDirectory(path: string): RunDirectory {
  mkdirSync(path, { recursive: true, mode: OWNER_ONLY });
  if (isOwn(statSync(path), WRITABLE_BY_OTHERS)) return runDirectory(path);
  const inside = join(path, nameInside());
  mkdirSync(inside, { recursive: true, mode: OWNER_ONLY });
  const found = lstatSync(inside);
  if (!found.isDirectory() || !isOwn(found, OF_OTHERS)) {
    throw new Error(`${inside} is not a directory of this user alone: remove it, or name another run directory.`);
  }
  return runDirectory(inside);
}

/** The same, of processes that run or ran: nothing is made or checked. */
export function findRunDirectory(path: string): RunDirectory {
  const found = statSync(path, { throwIfNoEntry: false });
  return runDirectory(found === undefined || isOwn(found, WRITABLE_BY_OTHERS) ? path : join(path, nameInside()));
}

function isOwn({ uid, mode }: Stats, forbidden: number): boolean {
  return uid === process.geteuid?.() && (mode & forbidden) === 0;
}

function nameInside(): string {
  return `user-${process.geteuid?.()}`;
}
