import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Where the processes of one node meet: their Unix sockets, and what Envoy is started with. */
export interface RunDirectory {
  readonly path: string;
  /** The control plane's delta ADS and reports, where it is on this machine. */
  readonly controlPlaneSocket: string;
  /** ext_proc and access logs: extproc listens, Envoy connects. */
  readonly extprocSocket: string;
  /** Envoy's own delta ADS: the agent listens, Envoy connects. */
  readonly envoyAdsSocket: string;
  readonly envoyAdminSocket: string;
  readonly bootstrapFile: string;
  /** The last route table that this node could use. */
  readonly tableFile: string;
}

/** The fixed names inside a run directory. Socket paths must stay under the 108 bytes of sockaddr_un. */
export function runDirectory(path: string): RunDirectory {
  return {
    path,
    controlPlaneSocket: join(path, 'control-plane.sock'),
    extprocSocket: join(path, 'extproc.sock'),
    envoyAdsSocket: join(path, 'envoy-ads.sock'),
    envoyAdminSocket: join(path, 'envoy-admin.sock'),
    bootstrapFile: join(path, 'envoy.json'),
    tableFile: join(path, 'table.bin'),
  };
}

/** Names of temporary run directories hold the process id of whoever made them, for the one who sweeps. */
const TEMPORARY_PREFIX = 'fairlead-run-';
const TEMPORARY_NAME = new RegExp(`^${TEMPORARY_PREFIX}(\\d+)-`);

/**
 * A run directory of this process alone: it goes with it, by whatever way that ends; after a hard kill, the next process
 * that makes one removes it.
 */
export async function temporaryRunDirectory(parent = tmpdir()): Promise<RunDirectory> {
  await sweep(parent);
  const run = runDirectory(mkdtempSync(join(parent, `${TEMPORARY_PREFIX}${process.pid}-`)));
  process.once('exit', () => remove(run.path));
  return run;
}

/** Removes what processes left that are no more. */
async function sweep(parent: string): Promise<void> {
  for (const name of readdirSync(parent)) {
    const [, pid] = TEMPORARY_NAME.exec(name) ?? [];
    if (pid === undefined || processExists(Number(pid))) continue;
    const path = join(parent, name);
    // Its process may live in another container, which has the same /tmp and other process ids.
    if (!(await answers(runDirectory(path).controlPlaneSocket))) remove(path);
  }
}

function processExists(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    // EPERM: it is another user's.
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}

/** Whether somebody listens on the socket. */
function answers(socketPath: string): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect(socketPath);
    const tell = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    socket.once('connect', () => tell(true));
    socket.once('error', () => tell(false));
  });
}

function remove(path: string): void {
  try {
    rmSync(path, { recursive: true, force: true, maxRetries: 3 });
  } catch {
    // Another user's, or a child is just writing there: what is left is swept by the next.
  }
}
