import { create } from '@bufbuild/protobuf';
import type { ServerCredentials } from '@grpc/grpc-js';
import type { NodeReport } from '../../proto/gen/fairlead/v1/report_pb.js';
import { FleetSchema } from '../../proto/gen/fairlead/v1/table_pb.js';
import {
  CONSUMER_TYPE,
  ENDPOINT_GROUP_TYPE,
  FLEET_TYPE,
  GATEWAY_TYPE,
  MODEL_TYPE,
  SECRET_TYPE,
  TABLE_VERSION_TYPE,
} from '../../proto/table-types.ts';
import { atomic } from '../../xds/atomic-order.ts';
import { type ClientEvent, DeltaServer } from '../../xds/delta-server.ts';
import { createGrpcServer, type GrpcListener, type Guard, listenGrpc } from '../../xds/grpc-listen.ts';
import type { RefusedResource } from '../../xds/refused-resources.ts';
import { FleetWatch } from './fleet-watch.ts';
import { ReportCollector } from './report-collector.ts';
import { type PlannedTable, TableEncoder } from './table-encoder.ts';

/** An agent that is connected. */
export interface ConnectedAgent {
  readonly nodeId: string;
  /** The last that it said; undefined before its first report, and while only its table stream is open. */
  readonly report: NodeReport | undefined;
  /** Parts of the table that it could not read and lacks. */
  readonly refused: readonly RefusedResource[];
}

/** What happens with agents, as log events. */
export type PublishEvent =
  | { readonly event: 'table.published'; readonly version: string; readonly changed: number; readonly removed: number }
  | { readonly event: 'agent.connected' | 'agent.disconnected'; readonly node: string }
  | { readonly event: 'agent.refused'; readonly node: string; readonly resource: string; readonly message: string };

interface PublisherOptions {
  onEvent?(event: PublishEvent): void;
  /** Something that `agents()` shows is different. */
  onChange?(): void;
}

/** How agents and this server know each other; what is absent is not asked for. */
interface AgentTrust {
  readonly credentials?: ServerCredentials;
  readonly guard?: Guard;
}

/** How many versions back an agent's report is recognised as older than the table that is waited for. */
const rememberedVersions = 1_000;

/** Serves the route table to agents, tells them how many they are, and knows what each of them made of it. */
export class Publisher {
  readonly #options: PublisherOptions;
  readonly #encoder = new TableEncoder();
  readonly #server: DeltaServer;
  readonly #reports = new ReportCollector(() => this.#changed());
  /** Published versions, oldest first, with their sequence numbers. */
  readonly #ordinals = new Map<string, number>();
  readonly #waiters = new Set<() => void>();
  /** Nodes that lack a part of the table because they refused it. */
  readonly #refusing = new Set<string>();
  readonly #fleetWatch = new FleetWatch(agents => {
    this.#fleet = create(FleetSchema, { agents });
    if (this.#table !== undefined) this.#send(this.#table);
  });
  #fleet = create(FleetSchema, { agents: 1 });
  /** The last one. */
  #table: PlannedTable | undefined;

  constructor(options: PublisherOptions = {}) {
    this.#options = options;
    this.#server = new DeltaServer({
      order: atomic({
        types: [GATEWAY_TYPE, MODEL_TYPE, ENDPOINT_GROUP_TYPE, SECRET_TYPE, CONSUMER_TYPE, FLEET_TYPE],
        completedBy: TABLE_VERSION_TYPE,
      }),
      onClient: event => this.#onClient(event),
    });
  }

  /** The last published version, "<sequence>-<hash8>"; empty before the first. */
  get version(): string {
    return this.#encoder.version;
  }

  /** Number of the last published version; 0 before the first. */
  get sequence(): number {
    return this.#encoder.sequence;
  }

  /** Number of a version, of this process and not too long ago; undefined for any other. */
  sequenceOf(version: string): number | undefined {
    return this.#ordinals.get(version);
  }

  /** Number of the version in which a model, or an endpoint of it, changed last; 0 for one that is in no table. */
  changedIn(model: string): number {
    return this.#encoder.changedIn(model);
  }

  /** Number of the version in which a consumer changed last; 0 for one that is in no table. */
  consumerChangedIn(consumer: string): number {
    return this.#encoder.consumerChangedIn(consumer);
  }

  /** Number of the version in which the gateway changed last. */
  get gatewayChangedIn(): number {
    return this.#encoder.gatewayChangedIn;
  }

  /** Sends what `table` changes to all agents; returns its version, which is the one before when nothing changed. */
  publish(table: PlannedTable): string {
    this.#send(table);
    return this.version;
  }

  #send(table: PlannedTable): void {
    const change = this.#encoder.encode(table, this.#fleet);
    this.#table = table;
    if (change === undefined) return;
    const version = change.systemVersion;
    this.#ordinals.set(version, this.#encoder.sequence);
    for (const oldest of this.#ordinals.keys()) {
      if (this.#ordinals.size <= rememberedVersions) break;
      this.#ordinals.delete(oldest);
    }
    this.#server.update(change);
    // One of the upserts is the version itself.
    const changed = change.upserts.length - 1;
    this.#event({ event: 'table.published', version, changed, removed: change.removals.length });
  }

  /** Serves agents at "unix:/path" or "host:port" until `signal` aborts. */
  async listen(address: string, signal: AbortSignal, trust: AgentTrust = {}): Promise<GrpcListener> {
    const server = createGrpcServer(trust.guard);
    this.#server.addTo(server);
    this.#reports.addTo(server);
    const close = () => {
      this.#server.close();
      this.#reports.disconnectAll('shutting down');
    };
    signal.addEventListener('abort', close, { once: true });
    return listenGrpc(server, address, signal, trust.credentials);
  }

  /** Ends all streams of agents, which come back, perhaps to another control plane. */
  disconnectAgents(reason: string): void {
    this.#server.disconnectAll(reason);
    this.#reports.disconnectAll(reason);
  }

  /** Agents with an open stream, by node id. */
  agents(): readonly ConnectedAgent[] {
    const agents = new Map<string, ConnectedAgent>();
    for (const [nodeId, report] of this.#reports.reports()) agents.set(nodeId, { nodeId, report, refused: [] });
    for (const { nodeId, refused } of this.#server.clients()) {
      agents.set(nodeId, { nodeId, report: agents.get(nodeId)?.report, refused });
    }
    return [...agents.values()];
  }

  /**
   * Resolves once there is an agent and every connected one reports that its Envoy answers and follows `version` or a
   * later one. What Envoy refused of it is in the reports. Rejects with the signal's reason.
   */
  applied(version: string, signal: AbortSignal): Promise<readonly ConnectedAgent[]> {
    return new Promise((resolve, reject) => {
      signal.throwIfAborted();
      const abort = () => {
        this.#waiters.delete(check);
        reject(signal.reason);
      };
      const check = () => {
        const agents = this.agents();
        if (agents.length === 0 || !agents.every(({ report }) => this.#follows(report, version))) return;
        this.#waiters.delete(check);
        signal.removeEventListener('abort', abort);
        resolve(agents);
      };
      signal.addEventListener('abort', abort, { once: true });
      this.#waiters.add(check);
      check();
    });
  }

  #onClient(event: ClientEvent): void {
    const { nodeId: node, refused } = event.client;
    if (event.kind === 'settled') {
      // Of what `agents` shows, only the end of a refusal comes this way; with many agents these events are many.
      if (refused.length > 0 || !this.#refusing.delete(node)) return;
    } else if (event.kind === 'refused') {
      this.#refusing.add(node);
      for (const { name, message } of event.resources) {
        this.#event({ event: 'agent.refused', node, resource: name, message });
      }
    } else {
      if (event.kind === 'disconnected') this.#refusing.delete(node);
      this.#fleetWatch.connected(new Set(this.#server.clients().map(({ nodeId }) => nodeId)).size);
      this.#event({ event: `agent.${event.kind}`, node });
    }
    this.#changed();
  }

  #follows(report: NodeReport | undefined, version: string): boolean {
    if (report === undefined || !report.envoyReady) return false;
    const reported = this.#ordinals.get(report.tableVersion);
    return reported !== undefined && reported >= (this.#ordinals.get(version) ?? 0);
  }

  #changed(): void {
    for (const check of this.#waiters) check();
    this.#options.onChange?.();
  }

  #event(event: PublishEvent): void {
    this.#options.onEvent?.(event);
  }
}
