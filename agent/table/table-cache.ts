import { createHash } from 'node:crypto';
import { open, readFile, rename, unlink } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { type SavedTable, SavedTableSchema } from '../../proto/gen/fairlead/v1/saved_table_pb.js';
import type { Resource } from '../../xds/resource.ts';

/** A table as it is kept: its parts, and when they were received (milliseconds since the epoch). */
export interface KeptTable {
  readonly receivedAtMs: number;
  readonly resources: readonly Resource[];
}

/** What a file begins with, before the checksum. Another format gets another number. */
const MAGIC = 'fairlead-table 1 ';
const HEADER_BYTES = MAGIC.length + 64 + 1;

/** At most one write a second: at the scale of 10,000 endpoints a table is megabytes, and changes come all the time. */
const writeIntervalMs = 1_000;

/** The last complete table on disk, so that a node can start while the control plane is away. */
export class TableCache {
  readonly #file: string;
  readonly #failed: (reason: string) => void;
  readonly #closing = new AbortController();
  #next: KeptTable | undefined;
  #writing: Promise<void> | undefined;

  /** `failed` hears why a write did not succeed; the file before stays as it was. */
  constructor(file: string, failed: (reason: string) => void) {
    this.#file = file;
    this.#failed = failed;
  }

  /** What the file holds; undefined when there is none. A string says why a file that is there cannot be used. */
  async load(): Promise<KeptTable | string | undefined> {
    let bytes: Buffer;
    try {
      bytes = await readFile(this.#file);
    } catch (error) {
      return (error as NodeJS.ErrnoException).code === 'ENOENT' ? undefined : reasonOf(error);
    }
    const header = bytes.subarray(0, HEADER_BYTES).toString('latin1');
    const content = bytes.subarray(HEADER_BYTES);
    if (!header.startsWith(MAGIC)) return 'not a table file of this version';
    if (header !== headerOf(content)) return 'the checksum does not match';
    try {
      return unpack(fromBinary(SavedTableSchema, content));
    } catch (error) {
      return reasonOf(error);
    }
  }

  /** Keeps the table, unless another one follows before it is written, which is soon. */
  save(table: KeptTable): void {
    this.#next = table;
    this.#writing ??= this.#drain();
  }

  /** Writes what is left to write. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#writing;
  }

  async #drain(): Promise<void> {
    while (this.#next !== undefined) {
      const table = this.#next;
      this.#next = undefined;
      await this.#write(table);
      // Ends early, by rejecting, when closed.
      await delay(writeIntervalMs, undefined, { signal: this.#closing.signal, ref: false }).catch(() => {});
    }
    this.#writing = undefined;
  }

  async #write(table: KeptTable): Promise<void> {
    // One name, so that what a killed process left is overwritten and not left to pile up.
    const temporary = `${this.#file}.tmp`;
    try {
      const content = toBinary(SavedTableSchema, pack(table));
      const file = await open(temporary, 'w', 0o600);
      try {
        await file.writeFile(headerOf(content));
        await file.writeFile(content);
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(temporary, this.#file);
    } catch (error) {
      await unlink(temporary).catch(() => {});
      this.#failed(reasonOf(error));
    }
  }
}

function headerOf(content: Uint8Array): string {
  return `${MAGIC}${createHash('sha256').update(content).digest('hex')}\n`;
}

function pack({ receivedAtMs, resources }: KeptTable): SavedTable {
  return create(SavedTableSchema, { receivedAtMs: BigInt(receivedAtMs), resources: [...resources] });
}

function unpack({ receivedAtMs, resources }: SavedTable): KeptTable {
  return { receivedAtMs: Number(receivedAtMs), resources };
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
