import type { MessagePort } from 'node:worker_threads';
import { create } from '@bufbuild/protobuf';
import type { ChannelCredentials } from '@grpc/grpc-js';
import type { Logger } from 'pino';
import { NodeReportSchema } from '../proto/gen/fairlead/v1/report_pb.js';
import { type AdminAddress, AdminServer } from './admin/admin-server.ts';
import { adminPages, healthPages, type TableView } from './admin/pages.ts';
import { type DataThread, dataThread } from './ask.ts';
import { type ControlPlaneFiles, fileCredentials } from './control-plane/file-credentials.ts';
import type { EnvoySettings } from './envoy/settings.ts';
import { EnvoyServer } from './envoy-server.ts';
import type { LimitsMessage } from './messages.ts';
import { budgetStates } from './report/budget-states.ts';
import { Reporter } from './report/reporter.ts';
import { diffTables } from './table/diff.ts';
import { Linger } from './table/linger.ts';
import type { RouteTable } from './table/route-table.ts';
import { type TableEvent, TableFeed } from './table/table-feed.ts';

export interface AgentOptions {
  /** The control plane: "unix:/path" or "host:port". */
  readonly controlPlane: string;
  /** What proves each to the other; without it the control plane is local. */
  readonly controlPlaneFiles?: ControlPlaneFiles;
  readonly nodeId: string;
  /** Unix socket where Envoy finds its ADS. */
  readonly envoyAdsSocket: string;
  /** Where the last table is kept. */
  readonly tableFile: string;
  readonly envoy: EnvoySettings;
  /** Where health is told from the start; the admin interface, where it is told too, opens with the first table. */
  readonly probe?: AdminAddress;
}

/**
 * The node's agent: follows the control plane's table, serves Envoy from it, hands it to the picker once Envoy knows
 * all that it names, and reports what came of it. Runs until the signal aborts.
 */
export async function runAgent(
  options: AgentOptions,
  port: MessagePort,
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
  const agent = new Agent(options, dataThread(port), log, signal);
  await agent.run();
}

interface ReceivedTable {
  readonly table: RouteTable;
  readonly receivedAtMs: number;
}

class Agent {
  readonly #options: AgentOptions;
  readonly #data: DataThread;
  readonly #log: Logger;
  readonly #signal: AbortSignal;
  readonly #envoy: EnvoyServer;
  readonly #reporter: Reporter;
  readonly #admin: AdminServer;
  readonly #probes: AdminServer;
  readonly #linger = new Linger();
  /** The last that the picker said of them. */
  #limits: Pick<LimitsMessage, 'budgets' | 'storeFailure'> = { budgets: [], storeFailure: '' };
  #connected = false;
  /** The newest table that came. */
  #latest: ReceivedTable | undefined;
  /** The last table that was tried. */
  #tried: ReceivedTable | undefined;
  /** The table that the picker follows. */
  #applied: ReceivedTable | undefined;
  /** Why the table that was tried last could not be used. */
  #unusable: { readonly version: string; readonly message: string } | undefined;
  #wake: () => void = () => undefined;

  constructor(options: AgentOptions, data: DataThread, log: Logger, signal: AbortSignal) {
    this.#options = options;
    this.#data = data;
    this.#log = log;
    this.#signal = signal;
    this.#envoy = new EnvoyServer(options.nodeId, options.envoy, event => {
      if (event.kind === 'refused') {
        for (const { name, typeUrl, message } of event.resources) {
          log.error({ event: 'envoy.refused', resource: `${kindOf(typeUrl)} ${name}`, message });
        }
      }
      this.#report();
    });
    this.#reporter = new Reporter({ address: options.controlPlane, credentials: this.#credentials(), signal });
    data.onLimits(limits => {
      this.#limits = limits;
      this.#report();
    });
    const onError = (error: Error) => log.error({ event: 'admin.failed', message: error.message });
    const view = () => this.#view();
    this.#admin = new AdminServer(adminPages(data, view), onError);
    this.#probes = new AdminServer(healthPages(data, view), onError);
  }

  async run(): Promise<void> {
    const { controlPlane, nodeId, tableFile, envoyAdsSocket, probe } = this.#options;
    if (probe) this.#probes.listen(probe.host, probe.port);
    const feed = await TableFeed.open({
      address: controlPlane,
      credentials: this.#credentials(),
      nodeId,
      file: tableFile,
      signal: this.#signal,
      onTable: (table, receivedAtMs) => {
        this.#latest = { table, receivedAtMs };
        this.#wake();
      },
      onEvent: event => this.#onTableEvent(event),
    });
    this.#signal.addEventListener('abort', () => this.#wake(), { once: true });
    let listening = false;
    while (await this.#awaitWork()) {
      await this.#follow(feed);
      if (listening || this.#applied === undefined || this.#signal.aborted) continue;
      await this.#envoy.listen(envoyAdsSocket, this.#signal);
      listening = true;
    }
    this.#admin.close();
    this.#probes.close();
    await feed.close();
  }

  #credentials(): (() => ChannelCredentials) | undefined {
    const { controlPlaneFiles } = this.#options;
    return controlPlaneFiles && fileCredentials(controlPlaneFiles);
  }

  /** Waits for a newer table, or until something has lingered long enough; false when the agent is to end. */
  async #awaitWork(): Promise<boolean> {
    if (!this.#signal.aborted && this.#latest === this.#tried) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      const expiryMs = this.#linger.nextExpiryMs();
      const timer = expiryMs === undefined ? undefined : setTimeout(resolve, Math.max(0, expiryMs - performance.now()));
      await promise;
      clearTimeout(timer);
    }
    return !this.#signal.aborted;
  }

  /** A table that this node cannot use costs that table; the one before stays until a better one comes. */
  async #follow(feed: TableFeed): Promise<void> {
    const next = this.#latest;
    if (next === undefined) return;
    const isNew = next !== this.#tried;
    this.#tried = next;
    if (isNew) this.#linger.replace(next.table);
    try {
      await this.#adopt(next, feed);
    } catch (error) {
      if (isNew) this.#refuse(next.table.version, error);
    }
  }

  /**
   * Envoy first, then the picker: nothing is picked that Envoy does not know, and what is dropped leaves Envoy last.
   * Only a listener that moves is opened after that.
   */
  async #adopt(next: ReceivedTable, feed: TableFeed): Promise<void> {
    const known = this.#linger.table(performance.now());
    if (known === undefined) return;
    await this.#envoy.apply(known.table, known.retired, this.#signal);
    if (next === this.#applied) return;
    try {
      await this.#handOver(next);
    } finally {
      // Also where the picker stays with the table before: what a listener asks of its callers is held all the same.
      await this.#envoy.openMoved(this.#signal);
    }
    this.#applied = next;
    this.#unusable = undefined;
    feed.keep(next.table);
    this.#linger.picked(performance.now());
    this.#log.info({ event: 'table.applied', version: next.table.version, models: next.table.models.size });
    this.#admin.listen(next.table.gateway.adminAddress, next.table.gateway.adminPort);
    this.#report();
  }

  /** To the picker, which goes back to the table before if it cannot follow this one to its end. */
  async #handOver({ table, receivedAtMs }: ReceivedTable): Promise<void> {
    const before = this.#applied;
    try {
      await this.#data.apply(diffTables(before?.table, table, receivedAtMs));
    } catch (error) {
      if (before) await this.#data.apply(diffTables(table, before.table, before.receivedAtMs));
      throw error;
    }
  }

  #refuse(version: string, error: unknown): void {
    const message = error instanceof Error ? error.message : String(error);
    this.#unusable = { version, message };
    this.#log.error({ event: 'table.unusable', version, message, served: this.#applied?.table.version ?? '' });
    this.#report();
  }

  #report(): void {
    this.#reporter.report(
      create(NodeReportSchema, {
        nodeId: this.#options.nodeId,
        tableVersion: this.#applied?.table.version ?? '',
        envoyReady: this.#envoy.ready,
        rejections: [
          ...(this.#unusable ? [{ resource: `table ${this.#unusable.version}`, message: this.#unusable.message }] : []),
          ...this.#envoy.refused.map(({ typeUrl, name, message }) => ({
            resource: `${kindOf(typeUrl)} ${name}`,
            message,
          })),
        ],
        budgets: budgetStates(this.#limits.budgets),
        limitStoreFailure: this.#limits.storeFailure,
      }),
    );
  }

  #onTableEvent(event: TableEvent): void {
    if (event.event === 'table.connected') this.#connected = true;
    if (event.event === 'table.disconnected') this.#connected = false;
    const grave = event.event !== 'table.connected' && event.event !== 'table.received';
    if (grave) this.#log.warn(event);
    else this.#log.info(event);
  }

  #view(): TableView {
    return {
      nodeId: this.#options.nodeId,
      controlPlane: { address: this.#options.controlPlane, connected: this.#connected },
      envoy: { connected: this.#envoy.connected, refused: this.#envoy.refused },
      table: this.#applied?.table,
      receivedAtMs: this.#applied?.receivedAtMs ?? 0,
      limitStoreFailure: this.#limits.storeFailure,
    };
  }
}

/** "cluster" of "type.googleapis.com/envoy.config.cluster.v3.Cluster". */
function kindOf(typeUrl: string): string {
  return typeUrl.slice(typeUrl.lastIndexOf('.') + 1).toLowerCase();
}
