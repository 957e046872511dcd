/** A longer line is told in pieces: memory is bounded whatever a child prints. */
const MAX_LINE_CHARS = 64 * 1024;

/** Cuts a stream of text into lines; empty ones are passed over. */
export class LineSplitter {
  readonly #onLine: (line: string) => void;
  #rest = '';

  constructor(onLine: (line: string) => void) {
    this.#onLine = onLine;
  }

  push(chunk: string): void {
    const lines = (this.#rest + chunk).split('\n');
    this.#rest = lines.pop() ?? '';
    for (const line of lines) this.#tell(line);
    while (this.#rest.length >= MAX_LINE_CHARS) {
      this.#tell(this.#rest.slice(0, MAX_LINE_CHARS));
      this.#rest = this.#rest.slice(MAX_LINE_CHARS);
    }
  }

  /** The stream has ended: a last line without its end is a line too. */
  end(): void {
    this.#tell(this.#rest);
    this.#rest = '';
  }

  #tell(line: string): void {
    for (let at = 0; at < line.length; at += MAX_LINE_CHARS) this.#onLine(line.slice(at, at + MAX_LINE_CHARS));
  }
}
