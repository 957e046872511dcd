import type { EndpointGroup } from '../../proto/gen/fairlead/v1/table_pb.js';
import type { EndpointLoad } from '../endpoint-load/endpoint-load.ts';

/** The endpoints that one group lists, each once. */
export interface Listing {
  readonly slots: readonly number[];
  /** At the same places: what the group calls them. An address is called otherwise in another model's list. */
  readonly names: readonly string[];
}

const NONE: Listing = { slots: [], names: [] };

/** Which endpoints each group of the table lists. Every listing of an endpoint is acquired and unlisted here. */
export class EndpointListings {
  readonly #load: EndpointLoad;
  readonly #byGroup = new Map<string, Listing>();

  constructor(load: EndpointLoad) {
    this.#load = load;
  }

  /** What a group "<namespace>/<name>/<backend>" lists; nothing where it has not arrived. */
  of(group: string): Listing {
    return this.#byGroup.get(group) ?? NONE;
  }

  /** Replaces what the group lists. New ones are acquired first, so that nobody on both lists is unlisted in between. */
  set(name: string, group: EndpointGroup): void {
    const names = new Map<number, string>();
    for (const endpoint of group.endpoints) {
      const slot = this.#load.acquire(endpoint);
      if (names.has(slot)) this.#load.unlist(slot);
      else names.set(slot, endpoint.name);
    }
    this.remove(name);
    this.#byGroup.set(name, { slots: [...names.keys()], names: [...names.values()] });
  }

  remove(name: string): void {
    for (const slot of this.of(name).slots) this.#load.unlist(slot);
    this.#byGroup.delete(name);
  }
}
