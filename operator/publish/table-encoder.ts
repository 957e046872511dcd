import { create, type DescMessage, type Message, toBinary } from '@bufbuild/protobuf';
import {
  type Consumer,
  ConsumerSchema,
  type EndpointGroup,
  EndpointGroupSchema,
  type Fleet,
  FleetSchema,
  type Gateway,
  GatewaySchema,
  type Model,
  ModelSchema,
  type Secret,
  SecretSchema,
} from '../../proto/gen/fairlead/v1/table_pb.js';
import { TableVersionSchema } from '../../proto/gen/fairlead/v1/table_version_pb.js';
import {
  CONSUMER_TYPE,
  DEFAULT_NAME,
  ENDPOINT_GROUP_TYPE,
  FLEET_TYPE,
  GATEWAY_TYPE,
  MODEL_TYPE,
  SECRET_TYPE,
  TABLE_VERSION_TYPE,
} from '../../proto/table-types.ts';
import type { Resource, ResourceChange, ResourceKey } from '../../xds/resource.ts';
import { contentVersion, SetHash } from './table-version.ts';

/** A plan's table. Its parts are immutable: a part that did not change is the same object as in the table before. */
export interface PlannedTable {
  readonly gateway: Gateway;
  /** By "<namespace>/<name>". */
  readonly models: ReadonlyMap<string, Model>;
  /** By "<namespace>/<name>/<backend>". */
  readonly endpoints: ReadonlyMap<string, EndpointGroup>;
  /** By "<namespace>/<name>". */
  readonly consumers: ReadonlyMap<string, Consumer>;
  /** By "<namespace>/<name>". */
  readonly secrets: ReadonlyMap<string, Secret>;
}

interface Encoded {
  readonly message: Message;
  readonly version: string;
}

interface NewPart {
  readonly message: Message;
  readonly resource: Resource;
}

const SCHEMAS: ReadonlyMap<string, DescMessage> = new Map<string, DescMessage>([
  [GATEWAY_TYPE, GatewaySchema],
  [MODEL_TYPE, ModelSchema],
  [ENDPOINT_GROUP_TYPE, EndpointGroupSchema],
  [SECRET_TYPE, SecretSchema],
  [CONSUMER_TYPE, ConsumerSchema],
  [FLEET_TYPE, FleetSchema],
]);

/** Turns tables into what changed since the one before, as resources. A part that is the same object costs nothing. */
export class TableEncoder {
  readonly #encoded = new Map([...SCHEMAS.keys()].map(typeUrl => [typeUrl, new Map<string, Encoded>()]));
  readonly #hash = new SetHash();
  /** By model, the version in which any part of it changed last. */
  readonly #changedIn = new Map<string, number>();
  readonly #consumerChangedIn = new Map<string, number>();
  #gatewayChangedIn = 0;
  #sequence = 0;
  #version = '';

  /** "<sequence>-<hash8>" of the last table; empty before the first. */
  get version(): string {
    return this.#version;
  }

  /** Number of the last version; 0 before the first. */
  get sequence(): number {
    return this.#sequence;
  }

  /** Number of the version in which a model, or an endpoint of it, changed last; 0 for one that is in no table. */
  changedIn(model: string): number {
    return this.#changedIn.get(model) ?? 0;
  }

  /** Number of the version in which a consumer changed last; 0 for one that is in no table. */
  consumerChangedIn(consumer: string): number {
    return this.#consumerChangedIn.get(consumer) ?? 0;
  }

  /** Number of the version in which the gateway changed last; the fleet is no part of it. */
  get gatewayChangedIn(): number {
    return this.#gatewayChangedIn;
  }

  /**
   * What `table` and the fleet that it is for change; undefined when their content is that of the ones before.
   * @throws Error when a part cannot be encoded; it is as if nothing had been asked then
   */
  encode(table: PlannedTable, fleet: Fleet): ResourceChange | undefined {
    const kinds: readonly (readonly [string, ReadonlyMap<string, Message>])[] = [
      [GATEWAY_TYPE, new Map([[DEFAULT_NAME, table.gateway]])],
      [MODEL_TYPE, table.models],
      [ENDPOINT_GROUP_TYPE, table.endpoints],
      [SECRET_TYPE, table.secrets],
      [CONSUMER_TYPE, table.consumers],
      [FLEET_TYPE, new Map([[DEFAULT_NAME, fleet]])],
    ];
    const encoded = kinds.map(([typeUrl, now]) => this.#encodeNew(typeUrl, now));
    const upserts = encoded.flatMap(parts => this.#keep(parts));
    const removals = kinds.flatMap(([typeUrl, now]) => this.#removeOthers(typeUrl, now));
    if (upserts.length + removals.length === 0) return undefined;
    this.#sequence += 1;
    this.#version = `${this.#sequence}-${this.#hash.hex}`;
    for (const key of removals) this.#noteChange(key, table);
    for (const key of upserts) this.#noteChange(key, table);
    const body = toBinary(TableVersionSchema, create(TableVersionSchema, { version: this.#version }));
    upserts.push({ typeUrl: TABLE_VERSION_TYPE, name: DEFAULT_NAME, version: this.#version, body });
    return { systemVersion: this.#version, upserts, removals };
  }

  #noteChange({ typeUrl, name }: ResourceKey, { models, consumers }: PlannedTable): void {
    if (typeUrl === GATEWAY_TYPE || typeUrl === SECRET_TYPE) this.#gatewayChangedIn = this.#sequence;
    else if (typeUrl === MODEL_TYPE) this.#note(this.#changedIn, name, models);
    else if (typeUrl === ENDPOINT_GROUP_TYPE) this.#note(this.#changedIn, modelOfGroup(name), models);
    else if (typeUrl === CONSUMER_TYPE) this.#note(this.#consumerChangedIn, name, consumers);
  }

  #note(changedIn: Map<string, number>, name: string, present: ReadonlyMap<string, unknown>): void {
    if (present.has(name)) changedIn.set(name, this.#sequence);
    else changedIn.delete(name);
  }

  /** Messages that are not the very ones of the table before. */
  #encodeNew(typeUrl: string, now: ReadonlyMap<string, Message>): NewPart[] {
    const before = this.#encoded.get(typeUrl);
    const parts: NewPart[] = [];
    for (const [name, message] of now) {
      if (before?.get(name)?.message === message) continue;
      const body = toBinary(SCHEMAS.get(typeUrl) as DescMessage, message);
      parts.push({ message, resource: { typeUrl, name, version: contentVersion(body), body } });
    }
    return parts;
  }

  /** Those of the parts whose content is another than before. */
  #keep(parts: readonly NewPart[]): Resource[] {
    const changed: Resource[] = [];
    for (const { message, resource } of parts) {
      const { typeUrl, name, version } = resource;
      const kept = this.#encoded.get(typeUrl);
      const known = kept?.get(name);
      kept?.set(name, { message, version });
      if (known?.version === version) continue;
      if (known !== undefined) this.#hash.toggle(typeUrl, name, known.version);
      this.#hash.toggle(typeUrl, name, version);
      changed.push(resource);
    }
    return changed;
  }

  #removeOthers(typeUrl: string, now: ReadonlyMap<string, Message>): ResourceKey[] {
    const removals: ResourceKey[] = [];
    const kept = this.#encoded.get(typeUrl) ?? new Map<string, Encoded>();
    for (const [name, { version }] of kept) {
      if (now.has(name)) continue;
      kept.delete(name);
      this.#hash.toggle(typeUrl, name, version);
      removals.push({ typeUrl, name });
    }
    return removals;
  }
}

/** "<namespace>/<name>" of "<namespace>/<name>/<backend>". */
function modelOfGroup(group: string): string {
  return group.slice(0, group.lastIndexOf('/'));
}
