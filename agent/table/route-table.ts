import type { Consumer, EndpointGroup, Gateway, Model, Secret } from '../../proto/gen/fairlead/v1/table_pb.js';
import type { LimitStoreSettings } from './limit-store-settings.ts';

/** The whole route table as an agent holds it: an immutable value, swapped whole. */
export interface RouteTable {
  /** The control plane's name for this state, "<sequence>-<hash>". */
  readonly version: string;
  readonly gateway: Gateway;
  /** By resource name, "<namespace>/<name>". */
  readonly models: ReadonlyMap<string, Model>;
  /** By resource name, "<namespace>/<name>/<backend>". A group that has not arrived counts as empty. */
  readonly endpoints: ReadonlyMap<string, EndpointGroup>;
  /** By resource name, "<namespace>/<name>". */
  readonly consumers: ReadonlyMap<string, Consumer>;
  /** How many agents share what is limited, this one included; at least 1. */
  readonly agents: number;
  /**
   * By resource name, "<namespace>/<name>". Never on disk. Envoy is told what it needs of them, the picker's thread
   * what the store of limits asks for, and nobody else anything.
   */
  readonly secrets: ReadonlyMap<string, Secret>;
}

/** What changed between two tables, as it is handed to the picker's thread: plain data, cloned on the way. */
export interface TableDelta {
  readonly version: string;
  /** When the agent received the new version, milliseconds since the epoch. */
  readonly receivedAtMs: number;
  readonly gateway: Gateway | undefined;
  readonly models: readonly (readonly [name: string, model: Model])[];
  readonly removedModels: readonly string[];
  readonly endpoints: readonly (readonly [name: string, group: EndpointGroup])[];
  readonly removedEndpoints: readonly string[];
  readonly consumers: readonly (readonly [name: string, consumer: Consumer])[];
  readonly removedConsumers: readonly string[];
  /** Undefined: as many as before. */
  readonly agents: number | undefined;
  /** Undefined: as before. In memory only, like the secrets that are in it. */
  readonly limitStore: LimitStoreSettings | undefined;
}
