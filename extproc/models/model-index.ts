import { routeProfile } from '../../agent/table/route-profile.ts';
import type { TableDelta } from '../../agent/table/route-table.ts';
import type { Backend, Gateway, Model } from '../../proto/gen/fairlead/v1/table_pb.js';
import type { EndpointLoad } from '../endpoint-load/endpoint-load.ts';
import { EndpointListings, type Listing } from './endpoint-listings.ts';

/** A backend with every endpoint that the table lists for it, draining ones too: EndpointLoad knows which. */
export interface BackendEntry extends Listing {
  readonly config: Backend;
}

/** What the backend calls an endpoint of its own: the pod's name, or its place in the list of addresses. */
export function endpointName({ slots, names }: BackendEntry, slot: number): string {
  return names[slots.indexOf(slot)] ?? '';
}

/** One model as requests see it: an immutable value, replaced whole when the model or one of its endpoints changes. */
export interface ModelEntry {
  /** "<namespace>/<name>": also the name of its Envoy cluster. */
  readonly key: string;
  readonly model: Model;
  readonly backends: readonly BackendEntry[];
  /** Which of Envoy's routes, that is which timeouts, its requests take. */
  readonly routeProfile: string;
}

/**
 * The route table as this process serves it: which model a name means, and where its endpoints are.
 * Resources may arrive in any order: a group without its model waits, a model without a group has no endpoints.
 */
export class ModelIndex {
  readonly #listings: EndpointListings;
  readonly #byKey = new Map<string, ModelEntry>();
  #byName = new Map<string, ModelEntry>();
  #sorted: readonly ModelEntry[] = [];
  #gateway: Gateway | undefined;
  #version = '';
  #revision = 0;
  #receivedAtMs = 0;

  constructor(load: EndpointLoad) {
    this.#listings = new EndpointListings(load);
  }

  /** Undefined until the first table came. */
  get gateway(): Gateway | undefined {
    return this.#gateway;
  }

  /** The table's version; empty until the first came. */
  get version(): string {
    return this.#version;
  }

  /** When the agent received this version, milliseconds since the epoch; 0 until the first came. */
  get receivedAtMs(): number {
    return this.#receivedAtMs;
  }

  /** The model of that id, alias or versioned form. */
  resolve(name: string): ModelEntry | undefined {
    return this.#byName.get(name);
  }

  /** Whether there is a model of that key. */
  has(key: string): boolean {
    return this.#byKey.has(key);
  }

  /** Another number after each change: what was looked up under the same one holds still. */
  get revision(): number {
    return this.#revision;
  }

  /** All models, sorted by public id, then by key. */
  list(): readonly ModelEntry[] {
    return this.#sorted;
  }

  /** What each listed endpoint is called, by slot: where models differ, as the first of the list calls it. */
  endpointNames(): ReadonlyMap<number, string> {
    const names = new Map<number, string>();
    for (const { slots, names: called } of this.#sorted.flatMap(({ backends }) => backends)) {
      for (const [place, slot] of slots.entries()) if (!names.has(slot)) names.set(slot, called[place] ?? '');
    }
    return names;
  }

  /** Takes over a new version. A delta without a gateway leaves the one there is. */
  apply(delta: TableDelta): void {
    this.#revision++;
    for (const [name, group] of delta.endpoints) this.#listings.set(name, group);
    for (const name of delta.removedEndpoints) this.#listings.remove(name);
    for (const [key, model] of delta.models) this.#byKey.set(key, this.#entry(key, model));
    for (const key of delta.removedModels) this.#byKey.delete(key);
    this.#refreshEndpoints(delta);
    if (delta.models.length + delta.removedModels.length > 0) this.#renameAll();
    this.#gateway = delta.gateway ?? this.#gateway;
    this.#version = delta.version;
    this.#receivedAtMs = delta.receivedAtMs;
  }

  #entry(key: string, model: Model): ModelEntry {
    const backends = model.backends.map(config => ({ config, ...this.#listings.of(`${key}/${config.name}`) }));
    return { key, model, backends, routeProfile: routeProfile(model) };
  }

  /** New entries for the models whose groups changed and that did not change themselves. */
  #refreshEndpoints(delta: TableDelta): void {
    const keys = new Set<string>();
    for (const [group] of delta.endpoints) keys.add(modelKey(group));
    for (const group of delta.removedEndpoints) keys.add(modelKey(group));
    for (const [key] of delta.models) keys.delete(key);
    for (const key of keys) {
      const stale = this.#byKey.get(key);
      if (stale === undefined) continue;
      const entry = this.#entry(key, stale.model);
      this.#byKey.set(key, entry);
      for (const name of stale.model.names) if (this.#byName.get(name) === stale) this.#byName.set(name, entry);
    }
    if (keys.size > 0) this.#sorted = this.#sorted.map(entry => this.#byKey.get(entry.key) ?? entry);
  }

  /**
   * Who has which name, from the beginning, since between two resources of one change a name can be with two models or
   * with none. The plan gives a name to one model only; should two have it, the first of the list keeps it.
   */
  #renameAll(): void {
    this.#sorted = [...this.#byKey.values()].sort(byIdThenKey);
    this.#byName = new Map();
    for (const entry of this.#sorted) {
      for (const name of entry.model.names) if (!this.#byName.has(name)) this.#byName.set(name, entry);
    }
  }
}

/** "<namespace>/<name>" of a group named "<namespace>/<name>/<backend>". */
function modelKey(group: string): string {
  return group.slice(0, group.lastIndexOf('/'));
}

function byIdThenKey(a: ModelEntry, b: ModelEntry): number {
  if (a.model.id !== b.model.id) return a.model.id < b.model.id ? -1 : 1;
  return a.key < b.key ? -1 : 1;
}
