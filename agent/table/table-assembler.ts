import type { Consumer, EndpointGroup, Gateway, Model, Secret } from '../../proto/gen/fairlead/v1/table_pb.js';
import {
  CONSUMER_TYPE,
  ENDPOINT_GROUP_TYPE,
  MODEL_TYPE,
  SECRET_TYPE,
  TABLE_VERSION_TYPE,
} from '../../proto/table-types.ts';
import type { RefusedUpdate, TypeUpdate } from '../../xds/delta-client.ts';
import type { Resource } from '../../xds/resource.ts';
import { readResource, type TablePart } from './read-resource.ts';
import type { RouteTable } from './route-table.ts';
import { usedSecrets } from './used-secrets.ts';

/** What became of an update. */
export interface Assembled {
  /** Parts that could not be used; the old ones stay. */
  readonly refused: RefusedUpdate | undefined;
  /** Set when the update completed a table; parts that are as before are the very same objects. */
  readonly table: RouteTable | undefined;
}

/**
 * Collects parts of the route table as they arrive and hands out whole tables: a response of the type TableVersion
 * says that what has been collected is the control plane's state of that version (see `xds/atomic-order.ts`).
 */
export class TableAssembler {
  #table: RouteTable | undefined;
  #version = '';
  /** Collected since the last table; undefined: removed. */
  #gateway: Gateway | undefined;
  #agents: number | undefined;
  readonly #models = new Map<string, Model | undefined>();
  readonly #endpoints = new Map<string, EndpointGroup | undefined>();
  readonly #consumers = new Map<string, Consumer | undefined>();
  readonly #secrets = new Map<string, Secret | undefined>();
  /** Removed by the control plane; those that are in the table all the same are still used. */
  readonly #goneSecrets = new Set<string>();
  /** The parts as they came, of the last table and (staged) of the next, to be kept on disk. */
  readonly #resources = new Map<string, Resource>();
  readonly #staged = new Map<string, Resource | undefined>();

  /** The parts of the last complete table that may be kept on disk: all but secrets. */
  resources(): readonly Resource[] {
    return [...this.#resources.values()];
  }

  take(update: TypeUpdate): Assembled {
    const reasons = new Map<string, string>();
    for (const resource of update.upserts) {
      const part = readResource(resource);
      if (part.kind === 'unreadable') {
        reasons.set(resource.name, part.reason);
      } else {
        this.#collect(part);
        this.#staged.set(key(resource.typeUrl, resource.name), resource);
      }
    }
    for (const name of update.removals) this.#remove(update.typeUrl, name);
    const refused = reasons.size === 0 ? undefined : { names: [...reasons.keys()], message: words(reasons) };
    // A version that vanished, or cannot be read, completes nothing: the last table is still the best there is.
    const complete = update.typeUrl === TABLE_VERSION_TYPE && refused === undefined && update.removals.length === 0;
    return { refused, table: complete ? this.#complete() : undefined };
  }

  #collect(part: TablePart): void {
    if (part.kind === 'version') this.#version = part.version;
    if (part.kind === 'gateway') this.#gateway = part.gateway;
    if (part.kind === 'model') this.#models.set(part.name, part.model);
    if (part.kind === 'endpoints') this.#endpoints.set(part.name, part.group);
    if (part.kind === 'fleet') this.#agents = part.agents;
    if (part.kind === 'consumer') this.#consumers.set(part.name, part.consumer);
    if (part.kind === 'secret') this.#secrets.set(part.name, part.secret);
  }

  #remove(typeUrl: string, name: string): void {
    if (typeUrl === MODEL_TYPE) this.#models.set(name, undefined);
    else if (typeUrl === ENDPOINT_GROUP_TYPE) this.#endpoints.set(name, undefined);
    else if (typeUrl === CONSUMER_TYPE) this.#consumers.set(name, undefined);
    else if (typeUrl === SECRET_TYPE) this.#secrets.set(name, undefined);
    // There is always a gateway and a fleet: one that vanishes is a mistake of the control plane, and the old one stays.
    else return;
    this.#staged.set(key(typeUrl, name), undefined);
  }

  #complete(): RouteTable | undefined {
    const gateway = this.#gateway ?? this.#table?.gateway;
    // An empty control plane, or one whose gateway was refused: there is no table to follow yet.
    if (gateway === undefined || this.#version === '') return undefined;
    if (this.#table?.version === this.#version && this.#staged.size === 0) return undefined;
    const table: RouteTable = {
      version: this.#version,
      gateway,
      models: merge(this.#table?.models, this.#models),
      endpoints: merge(this.#table?.endpoints, this.#endpoints),
      consumers: merge(this.#table?.consumers, this.#consumers),
      // An older control plane does not count its agents.
      agents: this.#agents ?? this.#table?.agents ?? 1,
      secrets: merge(this.#table?.secrets, this.#changedSecrets(gateway)),
    };
    this.#table = table;
    for (const [name, resource] of this.#staged) {
      if (resource === undefined || resource.typeUrl === SECRET_TYPE) this.#resources.delete(name);
      else this.#resources.set(name, resource);
    }
    this.#gateway = undefined;
    for (const collected of [this.#models, this.#endpoints, this.#consumers, this.#secrets, this.#staged]) {
      collected.clear();
    }
    return table;
  }

  /**
   * The changes of secrets. One that is gone, or of no use any more, stays as long as the gateway refers to it: a
   * certificate that is being replaced must not close a port, nor a password a connection. The control plane tells
   * users that it is missing.
   */
  #changedSecrets(gateway: Gateway): ReadonlyMap<string, Secret | undefined> {
    const used = usedSecrets(gateway);
    const changes = new Map(this.#secrets);
    for (const [name, secret] of changes) {
      if (secret === undefined) this.#goneSecrets.add(name);
      else this.#goneSecrets.delete(name);
    }
    for (const name of this.#goneSecrets) {
      if (used.has(name)) changes.delete(name);
      else {
        changes.set(name, undefined);
        this.#goneSecrets.delete(name);
      }
    }
    return changes;
  }
}

function merge<Part>(
  before: ReadonlyMap<string, Part> | undefined,
  changes: ReadonlyMap<string, Part | undefined>,
): ReadonlyMap<string, Part> {
  if (before !== undefined && changes.size === 0) return before;
  const merged = new Map(before);
  for (const [name, part] of changes) {
    if (part === undefined) merged.delete(name);
    else merged.set(name, part);
  }
  return merged;
}

/** Names quoted so that the control plane can tell which of a response are meant. */
function words(reasons: ReadonlyMap<string, string>): string {
  return [...reasons].map(([name, reason]) => `"${name}": ${reason}`).join('; ');
}

function key(typeUrl: string, name: string): string {
  return `${typeUrl} ${name}`;
}
