import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create, fromBinary, type MessageInitShape } from '@bufbuild/protobuf';
import { Reporter } from '../../agent/report/reporter.ts';
import { kubeConfigAccess } from '../../operator/api/api-access.ts';
import { ApiConnection, type ApiRequest, type Reply } from '../../operator/api/api-connection.ts';
import { type Plan, plan } from '../../operator/plan/plan.ts';
import { Publisher } from '../../operator/publish/publisher.ts';
import { watchCluster } from '../../operator/source/kubernetes.ts';
import type { StatusEvent } from '../../operator/status/seeded-statuses.ts';
import { StatusWriter } from '../../operator/status/status-writer.ts';
import { NodeReportSchema } from '../../proto/gen/fairlead/v1/report_pb.js';
import { TableVersionSchema } from '../../proto/gen/fairlead/v1/table_version_pb.js';
import {
  CONSUMER_TYPE,
  ENDPOINT_GROUP_TYPE,
  FLEET_TYPE,
  GATEWAY_TYPE,
  MODEL_TYPE,
  SECRET_TYPE,
  TABLE_VERSION_TYPE,
} from '../../proto/table-types.ts';
import { DeltaClient } from '../../xds/delta-client.ts';
import { kubeConfigOf } from './api-objects.ts';
import type { Cluster } from './cluster.ts';

/** An API connection that keeps what was sent through it, and can be told how to fail. */
export class SeenConnection extends ApiConnection {
  readonly sent: ApiRequest[] = [];
  /** Answers in place of the API server; undefined lets a request through. */
  intercept: (request: ApiRequest) => Reply | Promise<Reply> | undefined = () => undefined;

  constructor(cluster: Cluster, server?: string) {
    super(kubeConfigAccess(kubeConfigOf(cluster, server)), 3_000);
  }

  override async send(request: ApiRequest, signal: AbortSignal): Promise<Reply> {
    this.sent.push(request);
    return this.intercept(request) ?? super.send(request, signal);
  }

  /** Writes of a status; of this object where one is named. */
  patches(name?: string): readonly ApiRequest[] {
    return this.sent.filter(
      ({ method, path }) => method === 'PATCH' && (name === undefined || path.endsWith(`/${name}/status`)),
    );
  }
}

/** An operator that leads, in this process: source, plan, publisher and status writer. */
export class StatusOperator {
  readonly api: SeenConnection;
  readonly events: StatusEvent[] = [];
  readonly #stopped = new AbortController();
  readonly #directory = mkdtempSync(join(tmpdir(), 'fairlead-status-'));
  readonly #address = `unix:${join(this.#directory, 'table')}`;
  #ended: Promise<unknown> = Promise.resolve();

  constructor(api: SeenConnection) {
    this.api = api;
  }

  async start(): Promise<void> {
    const { api, events } = this;
    const { signal } = this.#stopped;
    const publisher: Publisher = new Publisher({ onChange: () => writer.agentsChanged() });
    const writer = new StatusWriter({ api, progress: publisher, signal, onEvent: event => events.push(event) });
    let previous: Plan | undefined;
    const { ended } = await watchCluster({
      api,
      signal,
      onState: reading => {
        previous = plan(reading.state, { standalone: false }, previous);
        publisher.publish(previous);
        writer.update({ plan: previous, reading });
      },
    });
    const { closed } = await publisher.listen(this.#address, signal);
    this.#ended = Promise.all([ended, closed]);
  }

  agent(nodeId: string): SimulatedAgent {
    return new SimulatedAgent(this.#address, nodeId);
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#ended;
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

/** An agent whose Envoy takes everything at once, until it is told otherwise. */
class SimulatedAgent {
  readonly #nodeId: string;
  readonly #stopped = new AbortController();
  readonly #reporter: Reporter;
  #facts: MessageInitShape<typeof NodeReportSchema> = {};
  #frozen = false;
  #tableVersion = '';

  constructor(address: string, nodeId: string) {
    const { signal } = this.#stopped;
    this.#nodeId = nodeId;
    this.#reporter = new Reporter({ address, signal });
    new DeltaClient({
      address,
      nodeId,
      types: [
        ...[GATEWAY_TYPE, MODEL_TYPE, ENDPOINT_GROUP_TYPE, SECRET_TYPE, CONSUMER_TYPE, FLEET_TYPE],
        TABLE_VERSION_TYPE,
      ],
      signal,
      apply: ({ typeUrl, upserts }) => {
        const [version] = upserts;
        if (typeUrl !== TABLE_VERSION_TYPE || version === undefined) return undefined;
        this.#tableVersion = fromBinary(TableVersionSchema, version.body).version;
        this.#report();
        return undefined;
      },
    });
  }

  /** Its Envoy refuses this from now on, or nothing. */
  reject(...rejections: readonly { readonly resource: string; readonly message: string }[]): void {
    this.report({ rejections: [...rejections] });
  }

  /** It says this from now on, beside what it follows. */
  report(facts: MessageInitShape<typeof NodeReportSchema>): void {
    this.#facts = facts;
    this.#report();
  }

  /** It stays connected and says nothing more. */
  freeze(): void {
    this.#frozen = true;
  }

  thaw(): void {
    this.#frozen = false;
    this.#report();
  }

  stop(): void {
    this.#stopped.abort();
  }

  #report(): void {
    if (this.#frozen) return;
    const follows = { nodeId: this.#nodeId, tableVersion: this.#tableVersion, envoyReady: true };
    this.#reporter.report(create(NodeReportSchema, { ...this.#facts, ...follows }));
  }
}
