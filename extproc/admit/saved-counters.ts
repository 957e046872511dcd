import { open, readFile, rename, unlink } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import { bucketAt } from './sliding-window.ts';

/** Whole, but maybe beyond what is exact: debt may lift an amount of money there. */
const naturalNumber = z.number().nonnegative();

const savedSlidingSchema = z.object({
  key: z.string(),
  periodMs: z.int().positive(),
  /** Bucket and amount in turn. */
  pairs: z.array(naturalNumber).refine(pairs => pairs.length % 2 === 0 && isAscending(pairs)),
});

const savedCountersSchema = z
  .object({
    version: z.literal(1),
    /** When it was saved, by the two clocks of the store. */
    wallMs: naturalNumber,
    steadyMs: naturalNumber,
    sliding: z.array(savedSlidingSchema),
    calendar: z.array(z.object({ key: z.string(), endMs: naturalNumber, used: naturalNumber })),
  })
  .refine(({ steadyMs, sliding }) =>
    sliding.every(({ pairs, periodMs }) => (pairs.at(-2) ?? 0) <= bucketAt(steadyMs, periodMs)),
  );

/** The counters that survive a restart, as they are written to the file. */
export type SavedCounters = z.infer<typeof savedCountersSchema>;

/** The store whose counters are saved. */
interface SavedStore {
  readonly changes: number;
  save(): SavedCounters;
  restore(saved: SavedCounters): void;
}

interface CounterFileOptions {
  readonly path: string;
  readonly store: SavedStore;
  /** Hears why the counters could not be read or written; the store counts on all the same. */
  readonly failed: (reason: string) => void;
}

/** What was counted in the last second may be lost when the process is killed. */
const writeIntervalMs = 1_000;

/** Keeps what a memory store has counted in a file, whole at any moment, and its owner's alone. */
export class CounterFile {
  readonly #path: string;
  readonly #store: SavedStore;
  readonly #failed: (reason: string) => void;
  readonly #closing = new AbortController();
  readonly #writing: Promise<void>;
  /** `changes` of the store when it was last written. */
  #written: number;
  /** Why the last write did not succeed: told once, not each second. */
  #problem = '';

  private constructor({ path, store, failed }: CounterFileOptions) {
    this.#path = path;
    this.#store = store;
    this.#failed = failed;
    this.#written = store.changes;
    this.#writing = this.#keep();
  }

  /** Restores what the file holds, and from then on writes what changes. No file is no failure: there is none at first. */
  static async open(options: CounterFileOptions): Promise<CounterFile> {
    try {
      options.store.restore(savedCountersSchema.parse(JSON.parse(await readFile(options.path, 'utf8'))));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') options.failed(reasonOf(error));
    }
    return new CounterFile(options);
  }

  /** Writes what is left to write. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#writing;
    await this.#write();
  }

  async #keep(): Promise<void> {
    while (!this.#closing.signal.aborted) {
      await this.#write();
      // Ends early, by rejecting, when closed.
      await delay(writeIntervalMs, undefined, { signal: this.#closing.signal, ref: false }).catch(() => {});
    }
  }

  async #write(): Promise<void> {
    const { changes } = this.#store;
    if (changes === this.#written) return;
    const temporary = `${this.#path}.tmp`;
    try {
      const file = await open(temporary, 'w', 0o600);
      try {
        await file.writeFile(JSON.stringify(this.#store.save()));
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(temporary, this.#path);
      this.#written = changes;
      this.#problem = '';
    } catch (error) {
      await unlink(temporary).catch(() => {});
      this.#tell(reasonOf(error));
    }
  }

  #tell(problem: string): void {
    if (problem !== this.#problem) this.#failed(problem);
    this.#problem = problem;
  }
}

function isAscending(pairs: readonly number[]): boolean {
  return pairs.every((bucket, at) => at % 2 === 1 || at === 0 || bucket > (pairs[at - 2] ?? 0));
}

function reasonOf(error: unknown): string {
  if (error instanceof z.ZodError || error instanceof SyntaxError) return 'it does not hold saved counters';
  return error instanceof Error ? error.message : String(error);
}
