import { createWriteStream, lstatSync, renameSync, type WriteStream } from 'node:fs';

/** Keeps what the run before logged as `path`.1, in place of the one before that. Pipes, links and devices stay. */
export function rotate(path: string): void {
  const stats = lstatSync(path, { throwIfNoEntry: false });
  if (stats?.isFile() && stats.size > 0) renameSync(path, `${path}.1`);
}

/** Lines kept before the file is open. */
const MAX_PENDING_LINES = 10_000;

/**
 * A file that lines are appended to from `open` on; those that came before go first. It may fail, as on a full disk:
 * then what comes is lost, and all else goes on.
 */
export class LogFile {
  readonly #path: string;
  readonly #onFailure: (message: string) => void;
  #pending: string[] = [];
  #stream: WriteStream | undefined;
  #failed = false;

  /** @param onFailure told at most once */
  constructor(path: string, onFailure: (message: string) => void) {
    this.#path = path;
    this.#onFailure = onFailure;
  }

  open(): void {
    this.#stream = createWriteStream(this.#path, { flags: 'a' });
    this.#stream.on('error', error => {
      if (!this.#failed) this.#onFailure(error.message);
      this.#failed = true;
    });
    for (const line of this.#pending) this.write(line);
    this.#pending = [];
  }

  write(line: string): void {
    if (this.#failed) return;
    if (this.#stream !== undefined) this.#stream.write(`${line}\n`);
    else if (this.#pending.length < MAX_PENDING_LINES) this.#pending.push(line);
  }

  /** What was written goes to the file; nothing more is. */
  end(): void {
    this.#failed = true;
    this.#stream?.end();
  }
}
