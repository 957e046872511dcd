import { createHash } from 'node:crypto';
import { accessSync, constants, existsSync, mkdirSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';

/** Where the logs of `fairlead up DIR` stay after it has ended, unless told: one folder per configuration directory. */
export function defaultLogDirectory(configuration: string): string {
  const absolute = resolve(configuration);
  const hash = createHash('sha256').update(absolute).digest('hex').slice(0, 6);
  const state = process.env.XDG_STATE_HOME || join(homedir(), '.local', 'state');
  return join(state, 'fairlead', `${basename(absolute)}-${hash}`);
}

/**
 * Makes the directory for logs where there is none.
 * @throws Error that says what to do, when files cannot be made there
 */
export function makeLogDirectory(path: string): void {
  try {
    makeDirectory(resolve(path));
    accessSync(path, constants.W_OK | constants.X_OK);
  } catch (error) {
    throw new Error(`Logs cannot be written to ${path}: ${reason(error)}. Choose another place with --log-dir.`);
  }
}

/** One level after the other: mkdir's own recursion never ends where the kernel makes no directories, as in /proc. */
function makeDirectory(path: string): void {
  if (!existsSync(path)) {
    makeDirectory(dirname(path));
    mkdirSync(path);
  } else if (!statSync(path).isDirectory()) {
    throw new Error(`${path} is a file`);
  }
}

const REASONS: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EROFS: 'it is read-only',
  ENOSPC: 'the disk is full',
  ENOENT: 'no directory can be made there',
  ENAMETOOLONG: 'the name is too long',
};

function reason(error: unknown): string {
  const { code = '', message } = error as NodeJS.ErrnoException;
  return REASONS[code] ?? message;
}
