import { readFile } from 'node:fs/promises';
import type { Contribution } from './declarations.ts';
import { listSourceFiles } from './file-listing.ts';
import { fileProblem, type Problem } from './problem.ts';
import { isWhole, readSourceFile, refusedGatewayIn, type SourceFile } from './source-file.ts';

/** A larger file was not written by hand, bytes. */
const MAX_FILE_BYTES = 33_554_432;

/**
 * A file that is gone or empty may be one that an editor is about to write: it is believed after this long,
 * milliseconds. Editors take a few; whoever deletes a file can wait for a moment.
 */
const VANISHED_GRACE_MS = 150;

const STALE = 'until its errors are mended, this file is served as it was before them';

interface Entry {
  readonly version: string;
  /** Undefined when it could not be read. */
  readonly text: string | undefined;
  readonly latest: SourceFile;
  /** The last reading without an error. */
  readonly good: SourceFile | undefined;
  /** Since when it is gone or empty, as a clock that only runs forward shows it. */
  readonly vanishedAtMs: number | undefined;
}

/** The files of some directories as they were last read, and of broken ones as they last were whole. */
export class SourceFiles {
  #entries: ReadonlyMap<string, Entry> = new Map();
  readonly #roots: readonly string[];

  /** `roots` are files and directories. */
  constructor(roots: readonly string[]) {
    this.#roots = roots;
  }

  /** What each file contributes, in the order of their paths. */
  get contributions(): Contribution[] {
    return [...this.#entries.values()].map(entry => ({
      source: served(entry),
      leaving: entry.vanishedAtMs !== undefined,
    }));
  }

  /** What is wrong with the files as they are now; files that are served as they were before say so. */
  get problems(): Problem[] {
    return [...this.#entries.values()].flatMap(entry => {
      const { file, problems } = entry.latest;
      return served(entry) === entry.latest ? problems : [...problems, fileProblem('warning', file, STALE)];
    });
  }

  /** The file as it is served. */
  file(path: string): SourceFile | undefined {
    const entry = this.#entries.get(path);
    return entry && served(entry);
  }

  /**
   * Reads what changed: files whose version on disk is another, and `touched` ones whatever that says (two writes may
   * look alike). Gives the time after which to look again, because a file may only seem to be gone; undefined when
   * nothing is in doubt.
   */
  async rescan(touched: ReadonlySet<string>, nowMs: number): Promise<number | undefined> {
    const listed = await listSourceFiles(this.#roots);
    const entries = new Map<string, Entry>();
    for (const path of new Set([...listed.keys(), ...this.#entries.keys()].sort())) {
      const entry = await this.#refresh(path, listed.get(path), touched.has(path), nowMs);
      if (entry !== undefined) entries.set(path, entry);
    }
    this.#entries = entries;
    const doubts = [...entries.values()].flatMap(({ vanishedAtMs }) => vanishedAtMs ?? []);
    return doubts.length === 0 ? undefined : Math.max(0, Math.min(...doubts) + VANISHED_GRACE_MS - nowMs);
  }

  async #refresh(
    path: string,
    version: string | undefined,
    touched: boolean,
    nowMs: number,
  ): Promise<Entry | undefined> {
    const before = this.#entries.get(path);
    const unchanged = before !== undefined && before.version === version && before.vanishedAtMs === undefined;
    if (unchanged && !touched) return before;
    const content = version === undefined ? { kind: 'gone' as const } : await readText(path);
    const vanished = content.kind === 'gone' || (content.kind === 'text' && content.text.trim() === '');
    if (vanished && before !== undefined && before.latest.items.length > 0) {
      const vanishedAtMs = before.vanishedAtMs ?? nowMs;
      if (nowMs - vanishedAtMs < VANISHED_GRACE_MS) return { ...before, vanishedAtMs };
    }
    if (content.kind === 'gone') return undefined;
    if (content.kind === 'text') return entryOf(path, version ?? '', content.text, before);
    const problems = [fileProblem('error', path, content.problem)];
    const refusedGateways = [refusedGatewayIn(path)];
    const latest: SourceFile = { file: path, items: [], refusedGateways, problems, locate: origin => origin };
    return { version: version ?? '', text: undefined, latest, good: before?.good, vanishedAtMs: undefined };
  }
}

function entryOf(path: string, version: string, text: string, before: Entry | undefined): Entry {
  if (before !== undefined && before.text === text) return { ...before, version, vanishedAtMs: undefined };
  const latest = readSourceFile(path, text);
  return { version, text, latest, good: isWhole(latest) ? latest : before?.good, vanishedAtMs: undefined };
}

/** A file that was never whole contributes what is right in it. */
function served({ latest, good }: Entry): SourceFile {
  return good ?? latest;
}

type Content =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'gone' }
  | { readonly kind: 'unreadable'; readonly problem: string };

const utf8 = new TextDecoder('utf-8', { fatal: true });

async function readText(path: string): Promise<Content> {
  try {
    const bytes = await readFile(path);
    if (bytes.length > MAX_FILE_BYTES) return unreadable(`larger than ${MAX_FILE_BYTES / 1_048_576} MiB`);
    return { kind: 'text', text: utf8.decode(bytes) };
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : '';
    if (code === 'ENOENT') return { kind: 'gone' };
    return unreadable(
      code === 'ERR_ENCODING_INVALID_ENCODED_DATA' ? 'not text in UTF-8' : `cannot be read (${code || error})`,
    );
  }
}

function unreadable(problem: string): Content {
  return { kind: 'unreadable', problem };
}
