import type { Endpoint } from '../../proto/gen/fairlead/v1/table_pb.js';
import { RowReuse } from './row-reuse.ts';

/** What a row stands for, whoever lists it: its names are theirs. */
type Row = Pick<Endpoint, 'id' | 'address'>;

/** Who each row stands for: an endpoint's identity (pod uid and port, or address), where it is, how often it is listed. */
export class Slots {
  readonly reuse = new RowReuse();
  readonly #byId = new Map<string, number>();
  readonly #endpoints: Row[] = [];
  /** How many endpoint groups list the row. */
  readonly #listings: number[] = [];

  /** Rows ever used; every slot is below. */
  get count(): number {
    return this.#endpoints.length;
  }

  find(id: string): number | undefined {
    return this.#byId.get(id);
  }

  /** A row for an endpoint that has none, listed by nobody yet. Its columns may hold what another left. */
  place(endpoint: Row): number {
    const reclaimed = this.reuse.reclaim();
    const slot = reclaimed ?? this.#endpoints.length;
    if (reclaimed !== undefined) this.#byId.delete(this.endpoint(reclaimed).id);
    this.#byId.set(endpoint.id, slot);
    this.#endpoints[slot] = endpoint;
    this.#listings[slot] = 0;
    return slot;
  }

  /** One listing more, with what the endpoint looks like now. */
  list(slot: number, endpoint: Row): void {
    this.#endpoints[slot] = endpoint;
    this.#listings[slot] = this.listings(slot) + 1;
    this.reuse.revive(slot);
  }

  /** One listing fewer. */
  unlist(slot: number): void {
    const listings = this.listings(slot);
    if (listings === 0) throw new Error(`endpoint-load: slot ${slot} is unlisted more often than it was listed`);
    this.#listings[slot] = listings - 1;
  }

  listings(slot: number): number {
    const listings = this.#listings[slot];
    if (listings === undefined) throw new Error(`endpoint-load: there is no slot ${slot}`);
    return listings;
  }

  endpoint(slot: number): Row {
    const endpoint = this.#endpoints[slot];
    if (endpoint === undefined) throw new Error(`endpoint-load: there is no slot ${slot}`);
    return endpoint;
  }
}
