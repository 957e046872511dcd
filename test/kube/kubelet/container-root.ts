import { readdirSync, readFileSync, readlinkSync, realpathSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** A directory or file of this machine, seen in the container elsewhere. */
interface Mount {
  readonly source: string;
  readonly target: string;
  readonly readOnly: boolean;
}

export interface ContainerRoot {
  /** An empty directory in memory, for what the container writes. */
  readonly scratch: string;
  readonly hostname: string;
  /** The directory of `hosts` and `resolv.conf`. */
  readonly etc: string;
  readonly mounts: readonly Mount[];
  readonly readOnly: boolean;
}

/** What the container has of its own. */
const OWN = ['proc', 'tmp', 'run'];

/** Whether containers see this file of the machine, which they do but for the directories that they have of their own. */
export function isSeenInside(path: string): boolean {
  return !OWN.includes(realpathSync(path).split('/')[1] ?? '');
}

/** Where the files of the pod are while its root is being built; nothing is left of it. */
const STAGE = '/.pod';
/** Where the pod's own `hosts` is: in a directory, so that it can be replaced at once. */
const OWN_ETC = '/etc/pod';

/**
 * A shell script for a new mount namespace and PID namespace. It builds the container's root from this machine's,
 * each top-level directory under a layer that takes what the container writes; then becomes its arguments there, the
 * first of which is the working directory. Just before, it writes a line to file descriptor 3 and makes file descriptor
 * 4 its output: what it prints until then is about itself.
 */
export function rootScript({ scratch, hostname, etc, mounts, readOnly }: ContainerRoot): string {
  const root = join(scratch, 'root');
  const layers: string[] = [];
  const lines = [
    `mkdir -p ${quote(root)} ${quote(join(scratch, 'upper'))} ${quote(join(scratch, 'work'))}`,
    `mount --bind ${quote(root)} ${quote(root)}`,
    `cd ${quote(root)}`,
    `mkdir ${OWN.join(' ')} .pod && chmod 1777 tmp`,
    'mount -t proc proc proc',
  ];
  for (const entry of TOP) {
    const [own, host] = [quote(entry.name), quote(`/${entry.name}`)];
    if (entry.link !== undefined) lines.push(`ln -s ${quote(entry.link)} ${own}`);
    else if (entry.whole) lines.push(`mkdir ${own} && mount --rbind ${host} ${own}`);
    else {
      layers.push(`/${entry.name}`);
      const [upper, work] = ['upper', 'work'].map(part => join(scratch, part, entry.name));
      lines.push(`mkdir ${own} ${quote(`${upper}`)} ${quote(`${work}`)}`);
      lines.push(`mount -t overlay -o ${quote(`lowerdir=/${entry.name},upperdir=${upper},workdir=${work}`)} o ${own}`);
    }
  }
  lines.push(`mkdir .pod/etc && mount --bind ${quote(etc)} .pod/etc`);
  for (const [index, { source }] of mounts.entries()) {
    const place = `.pod/${index}`;
    const make = statSync(source).isDirectory() ? 'mkdir' : 'touch';
    lines.push(`${make} ${place} && mount --bind ${quote(source)} ${place}`);
  }
  lines.push(`hostname ${quote(hostname)}`);
  const inside = insideScript(mounts, readOnly ? ['/', ...layers] : []);
  lines.push(`exec chroot . /bin/sh -ec ${quote(inside)} sh "$@"`);
  return lines.join('\n');
}

function insideScript(mounts: readonly Mount[], readOnly: readonly string[]): string {
  const lines = [`mkdir ${OWN_ETC} && mount --bind ${STAGE}/etc ${OWN_ETC}`];
  for (const file of ['hosts', 'resolv.conf']) lines.push(`ln -sf pod/${file} /etc/${file}`);
  for (const [index, { source, target }] of mounts.entries()) {
    const to = quote(target);
    const make = statSync(source).isDirectory() ? `mkdir -p ${to}` : `mkdir -p "$(dirname ${to})" && touch ${to}`;
    lines.push(make);
    lines.push(`mount --bind ${mounts[index]?.readOnly ? '-o ro ' : ''}${STAGE}/${index} ${to}`);
  }
  for (const index of mounts.keys()) lines.push(`umount ${STAGE}/${index}`);
  lines.push(`umount ${STAGE}/etc && rm -rf ${STAGE}`);
  for (const layer of readOnly) lines.push(`mount -o remount,bind,ro ${quote(layer)}`);
  lines.push('cd "$1"; shift', 'echo >&3; exec >&4 2>&4 3>&- 4>&-; exec "$@"');
  return lines.join('\n');
}

interface TopEntry {
  readonly name: string;
  readonly link?: string;
  /** Bound as it is: something is mounted below it, which no layer would show. */
  readonly whole?: boolean;
}

const TOP = topEntries();

function topEntries(): readonly TopEntry[] {
  const mountPoints = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map(line => line.split(' ')[4] ?? '');
  const entries = readdirSync('/', { withFileTypes: true });
  return entries.flatMap((entry): TopEntry[] => {
    const { name } = entry;
    if (OWN.includes(name)) return [];
    if (entry.isSymbolicLink()) return [{ name, link: readlinkSync(`/${name}`) }];
    if (!entry.isDirectory()) return [];
    return [{ name, whole: name === 'dev' || mountPoints.some(point => point.startsWith(`/${name}/`)) }];
  });
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
