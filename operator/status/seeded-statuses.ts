import { setTimeout as pause } from 'node:timers/promises';
import type { StatusDocument } from '../../crds/status.ts';
import type { ApiConnection } from '../api/api-connection.ts';
import type { ApiFailure } from '../api/api-failure.ts';
import { retryDelayMs } from '../api/retry-delay.ts';
import { type CurrentStatuses, currentStatuses } from './current-statuses.ts';
import type { EventLost } from './event-recorder.ts';

/** What happens between the status writer and the API server, ready to be logged. */
export type StatusEvent =
  | EventLost
  | { readonly event: 'status.listed'; readonly objects: number }
  | { readonly event: 'status.written'; readonly resource: string }
  | { readonly event: 'status.interrupted'; readonly reason: string; readonly retryInMs: number }
  | { readonly event: 'status.failed'; readonly resource: string; readonly reason: string }
  | { readonly event: 'budget.warning' | 'budget.exhausted'; readonly consumer: string; readonly note: string }
  | { readonly event: 'limit_store.failed' | 'limit_store.recovered'; readonly note: string };

interface SeededStatusesOptions {
  readonly api: ApiConnection;
  readonly namespaces: readonly string[] | undefined;
  readonly signal: AbortSignal;
  readonly onEvent: (event: StatusEvent) => void;
}

/** Without the list nothing is written. */
const BACKOFF = { firstMs: 500, maxMs: 10_000 };

/** What the API said of all resources when the writer began; asked for until it answers. */
export class SeededStatuses {
  #statuses: ReadonlyMap<string, StatusDocument> | undefined;

  constructor(options: SeededStatusesOptions, whenReady: () => void) {
    void this.#list(options).then(whenReady);
  }

  get ready(): boolean {
    return this.#statuses !== undefined;
  }

  take(uid: string): StatusDocument | undefined {
    return this.#statuses?.get(uid);
  }

  /** Lets go of what was listed; objects that come later are new. */
  forget(): void {
    this.#statuses = NONE;
  }

  async #list({ api, namespaces, signal, onEvent }: SeededStatusesOptions): Promise<void> {
    for (let failures = 1; !signal.aborted; failures++) {
      const { statuses, failure } = await attempt(() => currentStatuses(api, namespaces, signal));
      if (statuses !== undefined) {
        onEvent({ event: 'status.listed', objects: statuses.size });
        this.#statuses = statuses;
        return;
      }
      if (signal.aborted) return;
      const { message, retryAfterMs = 0 } = failure;
      const delayMs = retryDelayMs(BACKOFF, failures, Math.random(), retryAfterMs);
      onEvent({ event: 'status.interrupted', reason: message, retryInMs: Math.round(delayMs) });
      await pause(delayMs, undefined, { signal }).catch(() => undefined);
    }
  }
}

const NONE: ReadonlyMap<string, StatusDocument> = new Map();

async function attempt(list: () => Promise<CurrentStatuses>): Promise<CurrentStatuses> {
  try {
    return await list();
  } catch (error) {
    const failure: ApiFailure = { code: 0, message: error instanceof Error ? error.message : String(error) };
    return { failure };
  }
}
