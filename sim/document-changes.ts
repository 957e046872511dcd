import { resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { watch } from 'chokidar';
import { isDocumentName, isHidden } from './pod-documents.ts';

/** A change is told this long after its first sign: a save makes several events at once. */
const DEBOUNCE_MS = 20;

/** Tells that something changed in a YAML file, or in those of a directory; several changes at once as one. */
export class DocumentChanges {
  readonly #signal: AbortSignal;
  readonly #watcher;
  #changed = Promise.withResolvers<void>();

  /**
   * @param signal ends it
   * @param onError told when changes may go unnoticed
   */
  constructor(path: string, signal: AbortSignal, onError: (error: unknown) => void) {
    this.#signal = signal;
    const root = resolve(path);
    this.#watcher = watch(path, {
      ignoreInitial: true,
      ignored: (each, stats) =>
        resolve(each) !== root && (isHidden(each) || (stats?.isFile() === true && !isDocumentName(each))),
    });
    const ring = () => this.#changed.resolve();
    this.#watcher.on('all', ring);
    // What changed between the first reading and the first watch.
    this.#watcher.on('ready', ring);
    this.#watcher.on('error', onError);
    signal.addEventListener('abort', ring, { once: true });
  }

  /** Resolves with true at the next change, with false once the signal is aborted. */
  async next(): Promise<boolean> {
    await this.#changed.promise;
    if (this.#signal.aborted) return false;
    await pause(DEBOUNCE_MS);
    this.#changed = Promise.withResolvers();
    return !this.#signal.aborted;
  }

  close(): Promise<void> {
    return this.#watcher.close();
  }
}
