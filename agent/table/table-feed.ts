import type { ChannelCredentials } from '@grpc/grpc-js';
import {
  CONSUMER_TYPE,
  ENDPOINT_GROUP_TYPE,
  FLEET_TYPE,
  GATEWAY_TYPE,
  MODEL_TYPE,
  SECRET_TYPE,
  TABLE_VERSION_TYPE,
} from '../../proto/table-types.ts';
import { DeltaClient, type HeldVersions, type TypeUpdate } from '../../xds/delta-client.ts';
import type { Resource } from '../../xds/resource.ts';
import type { RouteTable } from './route-table.ts';
import { TableAssembler } from './table-assembler.ts';
import { type KeptTable, TableCache } from './table-cache.ts';

/** What happens to the table here, as log events. */
export type TableEvent =
  | { readonly event: 'table.connected' }
  | { readonly event: 'table.disconnected'; readonly reason: string }
  | { readonly event: 'table.received'; readonly version: string; readonly from: 'control plane' | 'disk' }
  | { readonly event: 'table.refused'; readonly type: string; readonly message: string }
  | { readonly event: 'table.file_ignored' | 'table.file_failed'; readonly file: string; readonly reason: string };

interface TableFeedOptions {
  /** The control plane: "unix:/path" or "host:port". */
  readonly address: string;
  /** Asked for every attempt to connect; without it nothing is encrypted. */
  readonly credentials?: (() => ChannelCredentials) | undefined;
  readonly nodeId: string;
  /** Where the last table is kept for a start without the control plane. Its directory exists. */
  readonly file: string;
  readonly signal: AbortSignal;
  /** A whole table, each version once, and when it was received (since the epoch); a table from disk comes first. */
  onTable(table: RouteTable, receivedAtMs: number): void;
  onEvent?(event: TableEvent): void;
}

/** All types of the table; the version last, as it is sent. */
const TYPES: readonly string[] = [
  GATEWAY_TYPE,
  MODEL_TYPE,
  ENDPOINT_GROUP_TYPE,
  CONSUMER_TYPE,
  FLEET_TYPE,
  SECRET_TYPE,
  TABLE_VERSION_TYPE,
];

/** The route table as this node has it: the last known from disk at first, then what the control plane sends. */
export class TableFeed {
  readonly #options: TableFeedOptions;
  readonly #cache: TableCache;
  #assembler = new TableAssembler();
  /** The last table that was handed out. */
  #latest: RouteTable | undefined;
  #receivedAtMs = 0;

  private constructor(options: TableFeedOptions) {
    this.#options = options;
    this.#cache = new TableCache(options.file, reason =>
      options.onEvent?.({ event: 'table.file_failed', file: options.file, reason }),
    );
  }

  /** Loads the table on disk, if there is one, and follows the control plane until the signal aborts. */
  static async open(options: TableFeedOptions): Promise<TableFeed> {
    const feed = new TableFeed(options);
    const held = await feed.#restore();
    feed.#connect(held);
    return feed;
  }

  /** Keeps a table that this node has found usable on disk; one that a newer table has replaced already is not kept. */
  keep(table: RouteTable): void {
    if (table !== this.#latest) return;
    this.#cache.save({ receivedAtMs: this.#receivedAtMs, resources: this.#assembler.resources() });
  }

  /** Writes to disk what is not there yet. */
  async close(): Promise<void> {
    await this.#cache.close();
  }

  async #restore(): Promise<HeldVersions> {
    const { file, onEvent, onTable } = this.#options;
    const kept = await this.#cache.load();
    if (kept === undefined) return new Map();
    const restored = typeof kept === 'string' ? kept : assembleKept(kept);
    if (typeof restored === 'string') {
      onEvent?.({ event: 'table.file_ignored', file, reason: restored });
      return new Map();
    }
    const { assembler, table, receivedAtMs } = restored;
    this.#assembler = assembler;
    this.#receivedAtMs = receivedAtMs;
    onEvent?.({ event: 'table.received', version: table.version, from: 'disk' });
    onTable(table, receivedAtMs);
    return versionsOf(assembler.resources());
  }

  #connect(held: HeldVersions): void {
    const { address, credentials, nodeId, signal, onEvent } = this.#options;
    new DeltaClient({
      address,
      credentials,
      nodeId,
      types: TYPES,
      held,
      signal,
      apply: update => this.#take(update),
      onConnection: (connected, reason) =>
        onEvent?.(connected ? { event: 'table.connected' } : { event: 'table.disconnected', reason }),
    });
  }

  #take(update: TypeUpdate): ReturnType<TableAssembler['take']>['refused'] {
    const { onEvent, onTable } = this.#options;
    const { refused, table } = this.#assembler.take(update);
    if (refused !== undefined) onEvent?.({ event: 'table.refused', type: update.typeUrl, message: refused.message });
    if (table !== undefined) {
      this.#latest = table;
      this.#receivedAtMs = Date.now();
      onEvent?.({ event: 'table.received', version: table.version, from: 'control plane' });
      onTable(table, this.#receivedAtMs);
    }
    return refused;
  }
}

/** A table from disk, and the assembler that goes on from it. */
interface RestoredTable {
  readonly assembler: TableAssembler;
  readonly table: RouteTable;
  readonly receivedAtMs: number;
}

/** The table that a file holds, as if its parts had just arrived; or why they are none. */
function assembleKept(kept: KeptTable): RestoredTable | string {
  const assembler = new TableAssembler();
  for (const typeUrl of TYPES) {
    const upserts = kept.resources.filter(resource => resource.typeUrl === typeUrl);
    const update = { typeUrl, upserts, removals: [], systemVersion: '' };
    const { refused, table } = assembler.take(update);
    if (refused !== undefined) return refused.message;
    if (table !== undefined) return { assembler, table, receivedAtMs: kept.receivedAtMs };
  }
  return 'the table is not complete';
}

function versionsOf(resources: readonly Resource[]): HeldVersions {
  const held = new Map<string, Map<string, string>>();
  for (const { typeUrl, name, version } of resources) {
    const versions = held.get(typeUrl) ?? new Map<string, string>();
    held.set(typeUrl, versions.set(name, version));
  }
  return held;
}
