const NEWLINE = 0x0a;

/** The largest object etcd stores has 1.5 MB; a line of more is not one of its events, bytes. */
const MAX_LINE_BYTES = 33_554_432;

/** Cuts a stream of bytes into lines, wherever its chunks begin and end. What follows the last line end is not a line. */
export class LineSplitter {
  #begun: Buffer[] = [];
  #begunBytes = 0;

  /** The lines that end in this chunk, without their ends. Throws when a line does not end for too long. */
  push(chunk: Buffer): string[] {
    const lines: string[] = [];
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, start)) {
      lines.push(this.#take(chunk.subarray(start, end)));
      start = end + 1;
    }
    const rest = chunk.subarray(start);
    this.#begunBytes += rest.length;
    if (this.#begunBytes > MAX_LINE_BYTES) throw new Error(`a line of more than ${MAX_LINE_BYTES} bytes`);
    if (rest.length > 0) this.#begun.push(rest);
    return lines;
  }

  #take(last: Buffer): string {
    const line = this.#begun.length === 0 ? last : Buffer.concat([...this.#begun, last]);
    this.#begun = [];
    this.#begunBytes = 0;
    return line.toString('utf8');
  }
}
