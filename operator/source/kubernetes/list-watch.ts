import { setTimeout as pause } from 'node:timers/promises';
import type { ApiConnection } from '../../api/api-connection.ts';
import type { ApiFailure } from '../../api/api-failure.ts';
import { type Collection, collectionPath } from './api-object.ts';
import { type Course, FIRST_COURSE, type NextStep, nextStep, type Outcome } from './course.ts';
import { LineSplitter } from './line-splitter.ts';
import { listPages } from './paged-list.ts';
import type { Replica } from './replica.ts';
import { readWatchEvent, type WatchEvent } from './watch-event.ts';

/** What happens between a collection and its replica, for whoever is on call. */
export type ListWatchEvent =
  | {
      readonly event: 'source.listed';
      readonly collection: string;
      readonly list: Course['list'];
      readonly objects: number;
    }
  | {
      readonly event: 'source.interrupted';
      readonly collection: string;
      readonly reason: string;
      /** As an HTTP status; 0 when the connection failed, absent when no request did. */
      readonly code?: number;
      readonly retryInMs: number;
      /** Whether everything has to be listed again. */
      readonly relist: boolean;
    }
  | {
      /** The API server knows no such collection; told once, until it does. */
      readonly event: 'source.not_installed';
      readonly collection: string;
      readonly reason: string;
    };

export interface ListWatchOptions<Value> {
  readonly api: ApiConnection;
  readonly collection: Collection;
  readonly replica: Replica<Value>;
  /**
   * Whether the API server may not know the collection, whose definition is newer than those of an installation that
   * was upgraded: until it does, there is nothing in it.
   */
  readonly optional?: boolean;
  /** Ends it. */
  readonly signal: AbortSignal;
  /** The replica changed, or is whole for the first time. */
  readonly onChange: () => void;
  readonly onEvent: (event: ListWatchEvent) => void;
}

/**
 * An API server that answers such a status to a streaming list does not have them: an older one refuses the option
 * (400, 422), one over an old etcd finds out on the way (500).
 */
const REFUSALS = [400, 405, 422, 500];

const NOT_FOUND = 404;

/** Keeps a replica like the collection of which it is one until `signal` is aborted, whatever happens between them. */
export async function followCollection<Value>(options: ListWatchOptions<Value>): Promise<void> {
  const { collection, replica, optional, signal, onChange, onEvent } = options;
  const listWatch = new ListWatch(options);
  let course = FIRST_COURSE;
  let unknown = false;
  while (!signal.aborted) {
    const outcome = await listWatch.attempt(course.list);
    if (signal.aborted) return;
    const next = nextStep(course, outcome, Math.random());
    if (next.relist) replica.expire();
    const went = outcome.kind === 'listed' || outcome.kind === 'ended';
    if (optional && outcome.kind === 'failed' && outcome.code === NOT_FOUND) {
      const { reason } = outcome;
      if (!unknown) onEvent({ event: 'source.not_installed', collection: collectionPath(collection), reason });
      unknown = true;
      if (replica.assumeEmpty()) onChange();
    } else if (!went) onEvent(interruption(collection, outcome, next));
    if (went) unknown = false;
    course = next.course;
    await pause(next.delayMs, undefined, { signal }).catch(() => undefined);
  }
}

function interruption(
  collection: Collection,
  outcome: Exclude<Outcome, { kind: 'listed' | 'ended' }>,
  { delayMs, relist }: NextStep,
): ListWatchEvent {
  const code = outcome.kind === 'failed' ? { code: outcome.code } : undefined;
  const about = { collection: collectionPath(collection), reason: outcome.reason, ...code };
  return { event: 'source.interrupted', ...about, retryInMs: Math.round(delayMs), relist };
}

class ListWatch<Value> {
  readonly #options: ListWatchOptions<Value>;
  /** When the replica was whole and the watch connected, as a clock that only runs forward shows it. */
  #aliveSinceMs: number | undefined;

  constructor(options: ListWatchOptions<Value>) {
    this.#options = options;
  }

  /** One list, or one watch for as long as it goes on. Never rejects. */
  async attempt(list: Course['list']): Promise<Outcome> {
    this.#aliveSinceMs = undefined;
    try {
      if (this.#options.replica.resourceVersion !== undefined) return await this.#watch();
      return list === 'streamed' ? await this.#stream() : await this.#list(list);
    } catch (error) {
      return this.#failed({ code: 0, message: error instanceof Error ? error.message : String(error) });
    }
  }

  async #list(list: 'paged' | 'whole'): Promise<Outcome> {
    const { api, collection, replica, signal } = this.#options;
    replica.beginList();
    const onObject = replica.listed.bind(replica);
    const { resourceVersion, failure } = await listPages(api, collection, {
      whole: list === 'whole',
      signal,
      onObject,
    });
    if (failure !== undefined) return this.#failed(failure);
    this.#tellListed(replica.endList(resourceVersion), list);
    return { kind: 'listed' };
  }

  /** A list as the beginning of a watch, which goes on afterwards. */
  async #stream(): Promise<Outcome> {
    this.#options.replica.beginList();
    const outcome = await this.#follow({ sendInitialEvents: 'true', resourceVersionMatch: 'NotOlderThan' });
    if (this.#aliveSinceMs !== undefined) return outcome;
    if (outcome.kind === 'ended') return { kind: 'refused', reason: 'the list was not streamed to its end' };
    return outcome.kind === 'failed' && REFUSALS.includes(outcome.code) ? { ...outcome, kind: 'refused' } : outcome;
  }

  #watch(): Promise<Outcome> {
    this.#aliveSinceMs = performance.now();
    return this.#follow({ resourceVersion: this.#options.replica.resourceVersion ?? '' });
  }

  async #follow(from: Readonly<Record<string, string>>): Promise<Outcome> {
    const { api, collection, signal } = this.#options;
    const { fieldSelector } = collection;
    const answer = await api.get(
      collectionPath(collection),
      {
        watch: 'true',
        allowWatchBookmarks: 'true',
        timeoutSeconds: String(watchSeconds(api.idleMs, Math.random())),
        ...(fieldSelector !== undefined && { fieldSelector }),
        ...from,
      },
      signal,
    );
    if (answer.failure !== undefined) return this.#failed(answer.failure);
    const lines = new LineSplitter();
    for await (const chunk of answer.body) {
      for (const line of lines.push(chunk)) {
        const outcome = this.#take(readWatchEvent(line));
        if (outcome !== undefined) return outcome;
      }
    }
    return { kind: 'ended', livedMs: this.#livedMs };
  }

  /** Gives how the watch ends when it ends with this event. */
  #take(event: WatchEvent): Outcome | undefined {
    if (event.kind === 'failure') return this.#failed(event.failure);
    if (event.kind === 'malformed') {
      return { kind: 'expired', reason: 'an event that cannot be read', livedMs: this.#livedMs };
    }
    const { replica, onChange } = this.#options;
    const listing = replica.resourceVersion === undefined;
    const changed = replica.apply(event);
    if (listing && replica.resourceVersion !== undefined) {
      this.#aliveSinceMs = performance.now();
      this.#tellListed(changed, 'streamed');
    } else if (changed) onChange();
    return undefined;
  }

  #tellListed(changed: boolean, list: Course['list']): void {
    const { collection, replica, onChange, onEvent } = this.#options;
    onEvent({ event: 'source.listed', collection: collectionPath(collection), list, objects: replica.values.size });
    if (changed) onChange();
  }

  #failed({ code, message, retryAfterMs }: ApiFailure): Outcome {
    const about = { reason: message, livedMs: this.#livedMs };
    if (code === 410) return { kind: 'expired', ...about };
    return { kind: 'failed', code, ...about, ...(retryAfterMs !== undefined && { retryAfterMs }) };
  }

  get #livedMs(): number {
    return this.#aliveSinceMs === undefined ? 0 : performance.now() - this.#aliveSinceMs;
  }
}

/**
 * How long a watch is asked to go on, seconds: a live API server ends it well before its silence would be taken for a
 * dead connection. Different each time, so that watches do not all end together.
 */
function watchSeconds(idleMs: number, random: number): number {
  return Math.max(1, Math.floor((idleMs / 1_000) * (0.6 + 0.3 * random)));
}
