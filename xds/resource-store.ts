import type { Resource, ResourceChange } from './resource.ts';
import { encodeResource } from './wire.ts';

/** A resource as all clients share it. */
export interface StoredResource {
  readonly version: string;
  /** Its element of a response, encoded. */
  readonly element: Uint8Array;
  /** The update that brought this version: it may refer to anything of that update or an earlier one. */
  readonly sequence: number;
}

/** Names that an update touched, by type. */
export type ChangedNames = ReadonlyMap<string, ReadonlySet<string>>;

const NONE: ReadonlyMap<string, StoredResource> = new Map();

/** All resources of a server as they are now. Updates are counted: their number is what clients are measured by. */
export class ResourceStore {
  readonly #types = new Map<string, Map<string, StoredResource>>();
  #sequence = 0;
  #systemVersion = '';

  /** Number of updates that changed anything. */
  get sequence(): number {
    return this.#sequence;
  }

  get systemVersion(): string {
    return this.#systemVersion;
  }

  get(typeUrl: string, name: string): StoredResource | undefined {
    return this.#types.get(typeUrl)?.get(name);
  }

  resources(typeUrl: string): ReadonlyMap<string, StoredResource> {
    return this.#types.get(typeUrl) ?? NONE;
  }

  /** Takes an update and says what differs from before; an update that changes no resource is not counted. */
  apply(change: ResourceChange): ChangedNames {
    this.#systemVersion = change.systemVersion;
    const changed = new Map<string, Set<string>>();
    const sequence = this.#sequence + 1;
    for (const { typeUrl, name } of change.removals) {
      if (this.#types.get(typeUrl)?.delete(name)) touch(changed, typeUrl, name);
    }
    for (const resource of change.upserts) {
      if (this.#put(resource, sequence)) touch(changed, resource.typeUrl, resource.name);
    }
    if (changed.size > 0) this.#sequence = sequence;
    return changed;
  }

  #put(resource: Resource, sequence: number): boolean {
    const resources = this.#types.get(resource.typeUrl) ?? new Map<string, StoredResource>();
    this.#types.set(resource.typeUrl, resources);
    if (resources.get(resource.name)?.version === resource.version) return false;
    resources.set(resource.name, { version: resource.version, element: encodeResource(resource), sequence });
    return true;
  }
}

function touch(changed: Map<string, Set<string>>, typeUrl: string, name: string): void {
  const names = changed.get(typeUrl);
  if (names === undefined) changed.set(typeUrl, new Set([name]));
  else names.add(name);
}
