import { create } from '@bufbuild/protobuf';
import {
  type Endpoint,
  type EndpointGroup,
  EndpointGroupSchema,
  type Model,
  ModelSchema,
} from '../../proto/gen/fairlead/v1/table_pb.js';
import type { RouteTable } from './route-table.ts';

/**
 * How long Envoy still knows what a newer table has dropped, milliseconds. A request picked by the older table is on
 * its way to Envoy for at most the ext_proc message timeout (5 s); after that nobody names the dropped endpoint.
 */
export const LINGER_MS = 5_000;

/** What Envoy is to know: a table, and models of the past whose timeouts requests may still ask for. */
export interface LingeringTable {
  readonly table: RouteTable;
  readonly retired: readonly Model[];
}

interface Dropped<Thing> {
  readonly thing: Thing;
  /** Infinity while the picker may still follow a table that has it. */
  untilMs: number;
}

/** Remembers what newer tables dropped, for as long as a request picked by an older one may still name it. */
export class Linger {
  #current: RouteTable | undefined;
  /** Former states of models, by name: removed ones, and those that read otherwise now. The newest last. */
  readonly #models = new Map<string, Dropped<Model>[]>();
  /** By group name and address. */
  readonly #endpoints = new Map<string, Map<string, Dropped<Endpoint>>>();

  /** Takes the table that replaces the current one. What it drops stays until some time after `picked`. */
  replace(next: RouteTable): void {
    const previous = this.#current;
    this.#current = next;
    if (!previous) return;
    const untilMs = Number.POSITIVE_INFINITY;
    for (const [name, thing] of previous.models) {
      if (next.models.get(name) === thing) continue;
      this.#models.set(name, [...(this.#models.get(name) ?? []), { thing, untilMs }]);
    }
    for (const [name, group] of previous.endpoints) {
      if (next.endpoints.get(name) !== group) this.#rememberDropped(name, group, next.endpoints.get(name), untilMs);
    }
  }

  /** The picker follows the current table from now on. */
  picked(nowMs: number): void {
    for (const dropped of this.#dropped()) {
      if (dropped.untilMs === Number.POSITIVE_INFINITY) dropped.untilMs = nowMs + LINGER_MS;
    }
  }

  #rememberDropped(name: string, before: EndpointGroup, after: EndpointGroup | undefined, untilMs: number): void {
    const kept = addresses(after);
    const dropped = before.endpoints.filter(endpoint => !kept.has(endpoint.address));
    if (dropped.length === 0) return;
    const lingering = this.#endpoints.get(name) ?? new Map<string, Dropped<Endpoint>>();
    for (const thing of dropped) lingering.set(thing.address, { thing, untilMs });
    this.#endpoints.set(name, lingering);
  }

  /** When something ceases to linger, or undefined while nothing will. */
  nextExpiryMs(): number | undefined {
    const next = this.#dropped().reduce((soonest, { untilMs }) => Math.min(soonest, untilMs), Number.POSITIVE_INFINITY);
    return Number.isFinite(next) ? next : undefined;
  }

  #dropped(): Dropped<unknown>[] {
    return [
      ...[...this.#models.values()].flat(),
      ...[...this.#endpoints.values()].flatMap(group => [...group.values()]),
    ];
  }

  /** The current table and what lingers; parts of which nothing lingers are the very same objects. */
  table(nowMs: number): LingeringTable | undefined {
    const current = this.#current;
    if (!current) return undefined;
    this.#forget(current, nowMs);
    if (this.#models.size === 0 && this.#endpoints.size === 0) return { table: current, retired: [] };
    const models = new Map(current.models);
    for (const [name, former] of this.#models) {
      const newest = current.models.get(name) ?? former.at(-1)?.thing;
      if (newest) models.set(name, withBackendsOf(newest, former));
    }
    const endpoints = new Map(current.endpoints);
    for (const [name, lingering] of this.#endpoints) {
      const listed = current.endpoints.get(name)?.endpoints ?? [];
      const dropped = [...lingering.values()].map(({ thing }) => thing);
      endpoints.set(name, create(EndpointGroupSchema, { endpoints: [...listed, ...dropped] }));
    }
    const retired = [...this.#models.values()].flat().map(({ thing }) => thing);
    return { table: { ...current, models, endpoints }, retired };
  }

  /** Drops what has lingered long enough, and endpoints that have come back. */
  #forget(current: RouteTable, nowMs: number): void {
    for (const [name, former] of this.#models) {
      const left = former.filter(({ untilMs }) => untilMs > nowMs);
      if (left.length === 0) this.#models.delete(name);
      else this.#models.set(name, left);
    }
    for (const [name, lingering] of this.#endpoints) {
      const listed = addresses(current.endpoints.get(name));
      for (const [address, { untilMs }] of lingering) {
        if (untilMs <= nowMs || listed.has(address)) lingering.delete(address);
      }
      if (lingering.size === 0) this.#endpoints.delete(name);
    }
  }
}

/** The model with the backends that it no longer has behind its own, so that their lingering endpoints have a place. */
function withBackendsOf(newest: Model, former: readonly Dropped<Model>[]): Model {
  const backends = new Map(newest.backends.map(backend => [backend.name, backend]));
  for (const { thing } of former) {
    for (const backend of thing.backends) if (!backends.has(backend.name)) backends.set(backend.name, backend);
  }
  if (backends.size === newest.backends.length) return newest;
  return create(ModelSchema, { ...newest, backends: [...backends.values()] });
}

function addresses(group: EndpointGroup | undefined): Set<string> {
  return new Set(group?.endpoints.map(endpoint => endpoint.address));
}
