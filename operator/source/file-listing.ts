import type { BigIntStats } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { basename, extname, join } from 'node:path';

/** Deeper directories are not read: it is a loop of symbolic links, or not meant for us. */
const MAX_DEPTH = 16;

const EXTENSIONS: readonly string[] = ['.yaml', '.yml', '.json'];

/** Whether a file by this name is read: YAML or JSON, and not one that an editor or a shell hides. */
export function isSourceName(path: string): boolean {
  return !isHidden(path) && EXTENSIONS.includes(extname(path).toLowerCase());
}

/** Whether a file or directory of this name is passed over. */
export function isHidden(path: string): boolean {
  return basename(path).startsWith('.');
}

/** Files to read and what tells one version of each from another, in the order of their paths. Directories are searched. */
export async function listSourceFiles(roots: readonly string[]): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for (const root of roots) await search(root, 0, found);
  return new Map([...found].sort(([one], [other]) => (one < other ? -1 : 1)));
}

async function search(path: string, depth: number, found: Map<string, string>): Promise<void> {
  const stats = await statOf(path);
  if (stats?.isFile()) found.set(path, `${stats.ino}:${stats.size}:${stats.mtimeNs}`);
  if (!stats?.isDirectory() || depth > MAX_DEPTH) return;
  const entries = await namesIn(path);
  const wanted = entries.filter(entry => !isHidden(entry.name) && (!entry.isFile() || isSourceName(entry.name)));
  await Promise.all(wanted.map(({ name }) => searchEntry(join(path, name), depth + 1, found)));
}

/** Symbolic links show only now whether they lead to a file, and then whether that is one to read. */
async function searchEntry(path: string, depth: number, found: Map<string, string>): Promise<void> {
  const below = new Map<string, string>();
  await search(path, depth, below);
  for (const [file, version] of below) if (isSourceName(file)) found.set(file, version);
}

/** What has gone since it was listed is simply not there. */
async function statOf(path: string): Promise<BigIntStats | undefined> {
  return stat(path, { bigint: true }).catch(() => undefined);
}

async function namesIn(directory: string) {
  return readdir(directory, { withFileTypes: true }).catch(() => []);
}
