import { objectKey } from '../cluster-state.ts';
import type { ApiObject } from './api-object.ts';
import type { WatchEvent } from './watch-event.ts';

/**
 * What is kept of an object, or undefined when nothing is. Gives `before`, what was kept of it until now, when it says
 * the same.
 */
export type Keep<Value> = (object: ApiObject, before: Value | undefined) => Value | undefined;

/**
 * The objects of a collection as lists and watches tell of them, and up to which version. A list takes the place of
 * what was known only when it is whole; until then that stays as it was.
 */
export class Replica<Value> {
  readonly #keep: Keep<Value>;
  #values = new Map<string, Value>();
  #snapshot: ReadonlyMap<string, Value> | undefined;
  #listing: Map<string, Value> | undefined;
  #resourceVersion: string | undefined;
  #synced = false;

  constructor(keep: Keep<Value>) {
    this.#keep = keep;
  }

  /** From where a watch can go on; undefined when the objects have to be listed first. */
  get resourceVersion(): string | undefined {
    return this.#resourceVersion;
  }

  /** Whether it ever was whole. */
  get synced(): boolean {
    return this.#synced;
  }

  /** By `objectKey`; the same map while nothing changes. */
  get values(): ReadonlyMap<string, Value> {
    this.#snapshot ??= new Map(this.#values);
    return this.#snapshot;
  }

  /** No watch can go on from here: the objects have to be listed. */
  expire(): void {
    this.#resourceVersion = undefined;
    this.#listing = undefined;
  }

  /** Begins a list; one that was not ended is dropped. */
  beginList(): void {
    this.#resourceVersion = undefined;
    this.#listing = new Map();
  }

  /** An object of the list that was begun. */
  listed(object: ApiObject): void {
    if (this.#listing === undefined) throw new Error('no list was begun');
    this.#set(this.#listing, object);
  }

  /** The list that was begun is whole. Whether that changes anything. */
  endList(resourceVersion: string): boolean {
    const listed = this.#listing;
    if (listed === undefined) throw new Error('no list was begun');
    const first = !this.#synced;
    this.#listing = undefined;
    this.#resourceVersion = resourceVersion;
    this.#synced = true;
    if (sameEntries(listed, this.#values)) return first;
    this.#values = listed;
    this.#snapshot = undefined;
    return true;
  }

  /** Counts as whole without a list, unless it was whole before: there is no such collection. Whether that is new. */
  assumeEmpty(): boolean {
    const first = !this.#synced;
    this.#synced = true;
    return first;
  }

  /** Follows a watch, also one that begins with a list. Whether that changes anything. */
  apply(event: Extract<WatchEvent, { kind: 'set' | 'removed' | 'bookmark' }>): boolean {
    if (event.kind === 'bookmark') {
      if (this.#listing === undefined) this.#resourceVersion = event.resourceVersion;
      return this.#listing !== undefined && event.listed && this.endList(event.resourceVersion);
    }
    const values = this.#listing ?? this.#values;
    const changed =
      event.kind === 'set' ? this.#set(values, event.object) : values.delete(objectKey(event.object.metadata));
    if (this.#listing !== undefined) return false;
    this.#resourceVersion = event.object.metadata.resourceVersion;
    if (changed) this.#snapshot = undefined;
    return changed;
  }

  #set(values: Map<string, Value>, object: ApiObject): boolean {
    const key = objectKey(object.metadata);
    const before = values.get(key);
    const value = this.#keep(object, before ?? this.#values.get(key));
    if (value === undefined) return values.delete(key);
    values.set(key, value);
    return value !== before;
  }
}

/** Whether two maps hold the same objects by the same keys. */
export function sameEntries<Value>(one: ReadonlyMap<string, Value>, other: ReadonlyMap<string, Value>): boolean {
  if (one.size !== other.size) return false;
  for (const [key, value] of one) if (other.get(key) !== value) return false;
  return true;
}
