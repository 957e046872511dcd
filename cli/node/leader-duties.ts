import type { ApiConnection } from '../../operator/api/api-connection.ts';
import type { LeaderState } from '../../operator/leader/candidate.ts';
import type { Publisher } from '../../operator/publish/publisher.ts';
import type { StatusEvent } from '../../operator/status/seeded-statuses.ts';
import type { PlannedCluster } from '../../operator/status/status-objects.ts';
import { StatusWriter } from '../../operator/status/status-writer.ts';
import type { GrpcListener } from '../../xds/grpc-listen.ts';

interface LeaderDutiesOptions {
  readonly api: ApiConnection;
  readonly publisher: Publisher;
  readonly namespaces: readonly string[] | undefined;
  /** Serves agents until the signal is aborted. */
  readonly listen: (signal: AbortSignal) => Promise<GrpcListener>;
  readonly onEvent: (event: StatusEvent) => void;
  readonly onListening: (address: string) => void;
  /** Agents cannot be served. */
  readonly onFailure: (error: Error) => void;
}

/**
 * What only a leader does. A leader that lost sight of its lease writes nothing any more, yet goes on serving agents:
 * they lose nothing by an older table, and another leader takes them with the label. A standby does neither.
 */
export class LeaderDuties {
  readonly #options: LeaderDutiesOptions;
  #writing: { readonly writer: StatusWriter; readonly stop: AbortController } | undefined;
  #serving: AbortController | undefined;
  /** The last listener's end. */
  #closed: Promise<void> = Promise.resolve();
  #planned: PlannedCluster | undefined;
  #over = false;

  constructor(options: LeaderDutiesOptions) {
    this.#options = options;
  }

  update(planned: PlannedCluster): void {
    this.#planned = planned;
    this.#writing?.writer.update(planned);
  }

  agentsChanged(): void {
    this.#writing?.writer.agentsChanged();
  }

  follow(state: LeaderState): void {
    if (this.#over) return;
    if (state === 'leading') this.#write();
    else this.#stopWriting();
    if (state === 'leading') this.#serve();
    if (state === 'standby') this.#stopServing();
  }

  /** Does nothing of it any more, whatever is elected; done when agents were let go. */
  async end(): Promise<void> {
    this.follow('standby');
    this.#over = true;
    await this.#closed;
  }

  #write(): void {
    if (this.#writing !== undefined) return;
    const { api, publisher: progress, namespaces, onEvent } = this.#options;
    const stop = new AbortController();
    const writer = new StatusWriter({ api, progress, ...(namespaces && { namespaces }), signal: stop.signal, onEvent });
    this.#writing = { writer, stop };
    if (this.#planned !== undefined) writer.update(this.#planned);
  }

  #stopWriting(): void {
    this.#writing?.stop.abort();
    this.#writing = undefined;
  }

  #serve(): void {
    if (this.#serving !== undefined) return;
    const stop = new AbortController();
    this.#serving = stop;
    this.#closed = this.#listen(this.#closed, stop.signal);
  }

  #stopServing(): void {
    this.#serving?.abort();
    this.#serving = undefined;
  }

  /** Never rejects. `before` holds the same port until it is done. */
  async #listen(before: Promise<void>, signal: AbortSignal): Promise<void> {
    await before;
    try {
      if (signal.aborted) return;
      const { address, closed } = await this.#options.listen(signal);
      this.#options.onListening(address);
      await closed;
    } catch (error) {
      if (!signal.aborted) this.#options.onFailure(error instanceof Error ? error : new Error(String(error)));
    }
  }
}
