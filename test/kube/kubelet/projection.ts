import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';

export interface ProjectedFile {
  readonly content: Buffer;
  readonly mode: number;
}

/**
 * Makes the directory hold these files, by their paths in it, all replaced at once: they are links through "..data",
 * which leads to a directory that is written whole, as kubelets do it.
 */
export function writeProjection(directory: string, files: ReadonlyMap<string, ProjectedFile>): void {
  const data = join(directory, '..data');
  const before = existsSync(data) ? readlinkSync(data) : undefined;
  if (before !== undefined && holds(join(directory, before), files)) return;
  const next = `..${Date.now()}_${Math.floor(Math.random() * 1e9)}`;
  mkdirSync(join(directory, next));
  for (const [path, { content, mode }] of files) {
    const file = join(directory, next, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, content, { mode });
  }
  symlinkSync(next, `${data}_tmp`);
  renameSync(`${data}_tmp`, data);
  const tops = new Set([...files.keys()].map(path => path.split('/')[0] ?? ''));
  for (const top of tops) {
    if (!readdirSync(directory).includes(top)) symlinkSync(join('..data', top), join(directory, top));
  }
  for (const name of readdirSync(directory)) {
    if (!name.startsWith('..') && !tops.has(name)) rmSync(join(directory, name));
  }
  if (before !== undefined) rmSync(join(directory, before), { recursive: true });
}

function holds(directory: string, files: ReadonlyMap<string, ProjectedFile>): boolean {
  const paths = readdirSync(directory, { recursive: true, encoding: 'utf8' });
  const present = paths.filter(path => statSync(join(directory, path)).isFile());
  return (
    present.length === files.size &&
    present.every(path => files.get(path)?.content.equals(readFileSync(join(directory, path))))
  );
}
