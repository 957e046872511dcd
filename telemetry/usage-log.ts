import { createWriteStream } from 'node:fs';
import type { Writable } from 'node:stream';

/** What each request took: one line of JSON each. */
export interface UsageLog {
  write(record: object): void;
  /** Ends when what is waiting is written, or cannot be. */
  close(): Promise<void>;
}

const STDOUT = 1;
/** What waits for a disk or a reader that does not take it, bytes; beyond, records are lost. */
const MAX_WAITING_BYTES = 16_777_216;
/** A file that failed is opened anew with the first record after this, milliseconds. */
const REOPEN_MS = 1_000;

/**
 * Usage records to a file, appended, or to standard output ("stdout"). Never throws: that records are lost is told by
 * `onLost`, once until one can be written again.
 */
export function openUsageLog(path: string, onLost: (reason: string) => void): UsageLog {
  return new FileUsageLog(path, onLost);
}

class FileUsageLog implements UsageLog {
  readonly #path: string;
  readonly #onLost: (reason: string) => void;
  #stream: Writable;
  /** When it failed, as a clock that only runs forward shows it. */
  #failedMs: number | undefined;
  #told = false;

  constructor(path: string, onLost: (reason: string) => void) {
    this.#path = path;
    this.#onLost = onLost;
    this.#stream = this.#open();
  }

  write(record: object): void {
    if (this.#failedMs !== undefined) {
      if (performance.now() - this.#failedMs < REOPEN_MS) return;
      this.#failedMs = undefined;
      this.#stream = this.#open();
    }
    if (this.#stream.writableLength > MAX_WAITING_BYTES) return this.#lost('what they are written to is too slow');
    this.#stream.write(`${JSON.stringify(record)}\n`, error => {
      if (!error) this.#told = false;
    });
  }

  close(): Promise<void> {
    if (this.#failedMs !== undefined) return Promise.resolve();
    // Called where it fails, too.
    return new Promise(resolve => this.#stream.end(() => resolve()));
  }

  #open(): Writable {
    // Not process.stdout: writing to a pipe, that would wait for whoever reads it.
    const target = this.#path === 'stdout' ? { fd: STDOUT, autoClose: false } : { flags: 'a' };
    const stream = createWriteStream(this.#path, target);
    stream.on('error', ({ message }) => {
      this.#failedMs = performance.now();
      this.#lost(message);
    });
    return stream;
  }

  #lost(reason: string): void {
    if (!this.#told) this.#onLost(reason);
    this.#told = true;
  }
}
