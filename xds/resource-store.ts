import type { Resource, ResourceChange, WithheldResource } from './resource.ts';
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
const NONE_WITHHELD: ReadonlyMap<string, WithheldResource> = new Map();

/** All resources of a server as they are now. Updates are counted: their number is what clients are measured by. */
export class ResourceStore {
  readonly #types = new Map<string, Map<string, StoredResource>>();
  readonly #withheld = new Map<string, Map<string, WithheldResource>>();
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

  withheld(typeUrl: string): ReadonlyMap<string, WithheldResource> {
    return this.#withheld.get(typeUrl) ?? NONE_WITHHELD;
  }

  /** Whether a client that has `version` of a name (undefined: has none) is told nothing, since it is withheld. */
  withholds(typeUrl: string, name: string, version: string | undefined): boolean {
    const withheld = this.withheld(typeUrl).get(name);
    if (withheld === undefined) return false;
    return withheld.version === undefined || version === undefined || withheld.version === version;
  }

  /** Takes an update and says what differs from before; an update that changes no resource is not counted. */
  apply(change: ResourceChange): ChangedNames {
    this.#systemVersion = change.systemVersion;
    const changed = new Map<string, Set<string>>();
    const sequence = this.#sequence + 1;
    for (const { typeUrl, name } of change.removals) {
      const stored = this.#types.get(typeUrl)?.delete(name);
      if (this.#withheld.get(typeUrl)?.delete(name) || stored) touch(changed, typeUrl, name);
    }
    for (const resource of change.withheld ?? []) {
      if (this.#withhold(resource)) touch(changed, resource.typeUrl, resource.name);
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
    this.#withheld.get(resource.typeUrl)?.delete(resource.name);
    if (resources.get(resource.name)?.version === resource.version) return false;
    resources.set(resource.name, { version: resource.version, element: encodeResource(resource), sequence });
    return true;
  }

  #withhold(resource: WithheldResource): boolean {
    const { typeUrl, name, version } = resource;
    const withheld = this.#withheld.get(typeUrl) ?? new Map<string, WithheldResource>();
    this.#withheld.set(typeUrl, withheld);
    const before = withheld.get(name);
    withheld.set(name, resource);
    const stored = this.#types.get(typeUrl)?.delete(name);
    return stored || before === undefined || before.version !== version;
  }
}

function touch(changed: Map<string, Set<string>>, typeUrl: string, name: string): void {
  const names = changed.get(typeUrl);
  if (names === undefined) changed.set(typeUrl, new Set([name]));
  else names.add(name);
}
