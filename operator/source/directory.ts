import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { watch } from 'chokidar';
import type { FieldPath } from '../../crds/field-problem.ts';
import { type ClusterState, type FileOrigin, sameState } from './cluster-state.ts';
import { Declarations } from './declarations.ts';
import { Doorbell } from './doorbell.ts';
import { isHidden, isSourceName } from './file-listing.ts';
import {
  HostAddresses,
  hostNames,
  LOOKUP_INTERVAL_MS,
  LOOKUP_PATIENCE_MS,
  type ResolveHost,
  systemResolver,
} from './host-addresses.ts';
import { byPlace, fileProblem, type Place, type Problem } from './problem.ts';
import { ReferencedSecrets, secretReferences, usedData } from './secret-references.ts';
import { SourceFiles } from './source-files.ts';

/** A change is read this long after its first sign, milliseconds: a save makes several events at once. */
const DEBOUNCE_MS = 10;
/** While the whole directory is gone, it is looked for this often, milliseconds. */
const RETURN_POLL_MS = 250;

/** What a directory declares, and what is wrong with it. */
export interface DirectoryReading {
  readonly state: ClusterState;
  /** In the order of files and lines. */
  readonly problems: readonly Problem[];
  /** Where a field of the resource at `origin` stands; at the resource when it is not there. */
  locate(origin: FileOrigin, path: FieldPath): Place;
}

interface WatchOptions {
  /** Ends the watch. */
  readonly signal: AbortSignal;
  /** Called at once and after every change that makes a difference, never twice at a time. */
  readonly onState: (reading: DirectoryReading) => void;
  /** A change could not be read, or `onState` threw at it; the watch goes on. The first state's error is the caller's. */
  readonly onFailure: (error: Error) => void;
  /** How host names become addresses; by the machine's own resolver when absent. */
  readonly resolveHost?: ResolveHost;
}

/** Reads files and directories once. */
export async function readPaths(
  paths: readonly string[],
  resolveHost: ResolveHost = systemResolver,
): Promise<DirectoryReading> {
  const reader = new PathReader(paths, resolveHost, () => {});
  try {
    return await reader.read(new Set());
  } finally {
    reader.stop();
  }
}

/** A watch that has begun. */
export interface DirectoryWatch {
  /** Done when the signal was aborted and nothing of the watch is left. */
  readonly ended: Promise<void>;
}

/**
 * Reads a directory, and again whenever something in it changes; it need not exist yet. Done when the first state was
 * told; the watch goes on until `signal` is aborted. A file that breaks keeps what it declared before, and a directory
 * that is gone as a whole (moved, unmounted) what it declared last. Nothing is polled but its return; host names are
 * looked up again.
 */
export async function watchDirectory(directory: string, options: WatchOptions): Promise<DirectoryWatch> {
  const first = Promise.withResolvers<void>();
  const ended = follow(directory, options, first.resolve);
  await Promise.race([first.promise, ended]);
  return { ended };
}

async function follow(directory: string, options: WatchOptions, begun: () => void): Promise<void> {
  const { signal, onState, onFailure, resolveHost = systemResolver } = options;
  const bell = new Doorbell();
  const ring = () => bell.ring();
  const reader = new PathReader([directory], resolveHost, ring);
  let events = new FileEvents(directory, ring);
  let existed = false;
  let last: DirectoryReading | undefined;
  const tell = async (read: () => DirectoryReading | Promise<DirectoryReading>) => {
    try {
      const reading = await read();
      if (!signal.aborted && (last === undefined || !sameReading(last, reading))) onState(reading);
      last = reading;
    } catch (error) {
      if (last === undefined) throw error;
      onFailure(error instanceof Error ? error : new Error(String(error)));
    }
    begun();
  };
  signal.addEventListener('abort', ring);
  try {
    while (!signal.aborted) {
      const before = last;
      const exists = existsSync(directory);
      if (before !== undefined && existed && !exists) {
        await tell(() => ({ ...before, problems: [...before.problems, missing(directory)] }));
        await untilThere(directory, signal);
        // The old watch does not follow what comes later by the same name.
        await events.close();
        events = new FileEvents(directory, ring);
      }
      existed ||= exists;
      await tell(() => reader.read(events.take(), events.problems));
      if (!signal.aborted) await bell.wait();
      if (!signal.aborted) await pause(DEBOUNCE_MS);
    }
  } finally {
    reader.stop();
    signal.removeEventListener('abort', ring);
    await events.close();
  }
}

/** Its files follow a directory that is back: it counts as there one poll after it was seen. */
async function untilThere(directory: string, signal: AbortSignal): Promise<void> {
  let there = false;
  while (!there && !signal.aborted) {
    there = existsSync(directory);
    await pause(RETURN_POLL_MS, undefined, { signal }).catch(() => undefined);
  }
}

function missing(directory: string): Problem {
  return fileProblem('warning', directory, 'the directory is gone: what it declared last is served until it is back');
}

/** Turns paths into readings, again and again. */
class PathReader {
  readonly #paths: readonly string[];
  readonly #files: SourceFiles;
  readonly #declarations = new Declarations();
  readonly #secrets = new ReferencedSecrets();
  readonly #hosts: HostAddresses;
  readonly #again: () => void;
  #recheck: NodeJS.Timeout | undefined;
  #lookups: NodeJS.Timeout | undefined;
  #state: ClusterState | undefined;

  constructor(paths: readonly string[], resolveHost: ResolveHost, again: () => void) {
    this.#paths = paths;
    this.#files = new SourceFiles(paths);
    this.#hosts = new HostAddresses(resolveHost, again);
    this.#again = again;
  }

  async read(touched: ReadonlySet<string>, further: readonly Problem[] = []): Promise<DirectoryReading> {
    const files = this.#files;
    const recheckMs = await files.rescan(touched, performance.now());
    clearTimeout(this.#recheck);
    if (recheckMs !== undefined) this.#recheck = setTimeout(this.#again, recheckMs);
    const joined = this.#declarations.join(files.contributions, Date.now());
    const { state: declared, problems: clashes } = joined;
    const secrets = this.#secrets.read(secretReferences(declared), (key, keys) => {
      const secret = joined.secrets.get(key);
      return secret === undefined ? { failure: 'not found' } : { data: usedData(secret.data, keys) };
    });
    const names = hostNames(declared);
    this.#lookUpRegularly(names.size > 0);
    await this.#hosts.follow(names, LOOKUP_PATIENCE_MS);
    const problems = [...further, ...files.problems, ...clashes].sort(byPlace);
    if (files.contributions.length === 0) problems.push(nothingIn(this.#paths));
    const state = { ...declared, hosts: this.#hosts.addresses, secrets };
    if (this.#state === undefined || !sameState(this.#state, state)) this.#state = state;
    return {
      state: this.#state,
      problems,
      locate: (origin, path) => files.file(origin.file)?.locate(origin, path) ?? origin,
    };
  }

  /** No timer is left behind. */
  stop(): void {
    clearTimeout(this.#recheck);
    clearInterval(this.#lookups);
  }

  #lookUpRegularly(wanted: boolean): void {
    if (wanted === (this.#lookups !== undefined)) return;
    clearInterval(this.#lookups);
    this.#lookups = wanted ? setInterval(() => this.#hosts.refresh(), LOOKUP_INTERVAL_MS) : undefined;
  }
}

/** Which files the system said were touched, since they were last taken. */
class FileEvents {
  readonly #watcher;
  #touched = new Set<string>();
  #problem: Problem | undefined;

  constructor(directory: string, ring: () => void) {
    const root = resolve(directory);
    this.#watcher = watch(directory, {
      ignoreInitial: true,
      // An editor's dance of renames is judged by what the directory holds afterwards, not by its events.
      atomic: false,
      ignored: (path, stats) =>
        resolve(path) !== root && (isHidden(path) || (stats?.isFile() === true && !isSourceName(path))),
    });
    this.#watcher.on('all', (_event, path) => {
      this.#touched.add(path);
      ring();
    });
    // Files that came between the first reading and the first watch.
    this.#watcher.on('ready', ring);
    this.#watcher.on('error', error => {
      const reason = error instanceof Error ? error.message : String(error);
      this.#problem = fileProblem(
        'error',
        directory,
        `changes may go unnoticed, since it cannot be watched: ${reason}`,
      );
      ring();
    });
  }

  get problems(): Problem[] {
    return this.#problem === undefined ? [] : [this.#problem];
  }

  take(): ReadonlySet<string> {
    const touched = this.#touched;
    this.#touched = new Set();
    return touched;
  }

  close(): Promise<void> {
    return this.#watcher.close();
  }
}

function nothingIn(paths: readonly string[]): Problem {
  return fileProblem('warning', paths.join(', '), 'no .yaml, .yml or .json file there');
}

function sameReading(one: DirectoryReading, other: DirectoryReading): boolean {
  return one.state === other.state && isDeepStrictEqual(one.problems, other.problems);
}
