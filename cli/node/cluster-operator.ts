import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import type { Logger } from 'pino';
import { type ApiAccess, kubeConfigAccess, podAccess } from '../../operator/api/api-access.ts';
import { ApiConnection } from '../../operator/api/api-connection.ts';
import { serveHealth } from '../../operator/health/health-server.ts';
import { OperatorMetrics } from '../../operator/health/operator-metrics.ts';
import type { LeaderState } from '../../operator/leader/candidate.ts';
import { Election } from '../../operator/leader/election.ts';
import { LeaderLabel } from '../../operator/leader/leader-label.ts';
import type { Plan } from '../../operator/plan/plan.ts';
import { type ConnectedAgent, Publisher } from '../../operator/publish/publisher.ts';
import type { ClosedGateway } from '../../operator/source/cluster-state.ts';
import { type ClusterReading, type SourceEvent, watchCluster } from '../../operator/source/kubernetes.ts';
import type { StatusEvent } from '../../operator/status/seeded-statuses.ts';
import {
  agentAuthentication,
  type RefusalEvent,
  type StreamCounts,
} from '../../operator/trust/agent-authentication.ts';
import { type CertificateEvent, serveCertificate } from '../../operator/trust/serve-certificate.ts';
import { grpcServerCredentials } from '../../operator/trust/server-credentials.ts';
import { TokenReviewer } from '../../operator/trust/token-reviewer.ts';
import { type PlannedState, startControlPlane } from './control-plane.ts';
import { LeaderDuties } from './leader-duties.ts';
import type { OperatorOptions } from './operator-options.ts';

/** What tokens of agents are for; a token for the API server is none for us. */
const AUDIENCE = 'fairlead-control-plane';

/** What somebody has to do something about. */
const ALARMS: ReadonlySet<string> = new Set([
  'certificate.failed',
  'certificate.names_lacking',
  'agent.unauthenticated',
  'agent.refused',
  'leader.label_failed',
  'limit_store.failed',
  'leader.lease_failed',
  'source.not_installed',
  'source.state_failed',
  'status.failed',
  'status.interrupted',
  'status.event_lost',
]);

/**
 * The control plane over a cluster until `signal` is aborted: every replica follows the API server and plans; the one
 * that leads serves agents and writes status.
 *
 * @throws Error when it cannot go on: whoever started it starts it again
 */
export async function runClusterOperator(options: OperatorOptions, log: Logger, signal: AbortSignal): Promise<void> {
  await new ClusterOperator(options, new ApiConnection(await apiAccess()), log, signal).run();
}

/** KUBECONFIG counts before the pod that this runs in, as it does for kubectl. */
async function apiAccess(): Promise<ApiAccess> {
  const ofPod = process.env.KUBECONFIG === undefined ? podAccess(process.env) : undefined;
  if (ofPod !== undefined) return ofPod;
  // Loaded only where it is needed: it takes more memory than all the rest of an operator in a pod.
  const { KubeConfig } = await import('@kubernetes/client-node');
  const kubeConfig = new KubeConfig();
  kubeConfig.loadFromDefault();
  return kubeConfigAccess(kubeConfig);
}

class ClusterOperator {
  readonly #options: OperatorOptions;
  readonly #api: ApiConnection;
  readonly #log: Logger;
  readonly #signal: AbortSignal;
  readonly #failed = Promise.withResolvers<never>();
  readonly #publisher: Publisher;
  readonly #duties: LeaderDuties;
  readonly #metrics: OperatorMetrics;
  #synced = false;
  /** When the state that is being planned was told, by a clock that only runs forward. */
  #readAtMs = 0;
  /** Of the last plan. */
  #version = '';
  #closed: ClosedGateway | undefined;
  #streams: StreamCounts = { admitted: 0, refused: 0, deferred: 0 };
  #state: LeaderState = 'standby';

  constructor(options: OperatorOptions, api: ApiConnection, log: Logger, signal: AbortSignal) {
    this.#options = options;
    this.#api = api;
    this.#log = log;
    this.#signal = signal;
    this.#failed.promise.catch(() => undefined);
    this.#publisher = new Publisher({
      onEvent: event => this.#tell(event),
      onChange: () => this.#duties.agentsChanged(),
    });
    this.#metrics = new OperatorMetrics({
      leading: () => this.#state === 'leading',
      version: () => this.#publisher.version,
      agents: () => this.#publisher.agents().length,
      withoutLimitStore: () => this.#publisher.agents().filter(lacksLimitStore).length,
      streams: () => ({ ...this.#streams }),
    });
    this.#duties = new LeaderDuties({
      api,
      publisher: this.#publisher,
      namespaces: options.namespace,
      listen: term => this.#listen(term),
      onEvent: event => this.#onStatusEvent(event),
      onFailure: error => this.#failed.reject(error),
      onListening: address => log.info({ event: 'operator.listening', address }),
    });
  }

  async run(): Promise<void> {
    const stopped = new Promise<void>(resolve => {
      if (this.#signal.aborted) resolve();
      else this.#signal.addEventListener('abort', () => resolve(), { once: true });
    });
    await this.#serveHealth();
    await Promise.race([this.#follow(), this.#failed.promise, stopped]);
    if (this.#signal.aborted) return;
    const elected = this.#campaign();
    try {
      await Promise.race([stopped, this.#failed.promise]);
    } finally {
      // Whoever leads next begins when the lease is given up: by then nothing of ours goes on.
      await this.#duties.end();
      await elected.resign();
    }
  }

  async #serveHealth(): Promise<void> {
    const { health: address } = this.#options;
    if (address === undefined) return;
    const view = {
      notReady: () => (this.#synced ? [] : ['the API server has not been listed yet']),
      metrics: () => this.#metrics.render(),
    };
    const port = await serveHealth({ address, view, signal: this.#signal });
    this.#log.info({ event: 'operator.health', port });
  }

  /** Done with the first table. */
  async #follow(): Promise<void> {
    const { namespace } = this.#options;
    const namespaces = namespace && { namespaces: namespace };
    await startControlPlane<ClusterReading>({
      publisher: this.#publisher,
      watch: onState => {
        const timed = (reading: ClusterReading) => {
          this.#readAtMs = performance.now();
          onState(reading);
        };
        const onEvent = (event: SourceEvent) => this.#onSourceEvent(event);
        return watchCluster({ api: this.#api, ...namespaces, signal: this.#signal, onState: timed, onEvent });
      },
      standalone: false,
      onFailure: error => this.#failed.reject(error),
      onPlan: planned => this.#onPlan(planned),
    });
    this.#synced = true;
  }

  #onPlan(planned: PlannedState<ClusterReading>): void {
    const { plan, reading, version } = planned;
    this.#metrics.planned({
      models: plan.models.size,
      consumers: plan.consumers.size,
      endpoints: endpointsOf(plan),
      tookMs: performance.now() - this.#readAtMs,
    });
    // Most changes of pods change nothing in the table.
    if (version !== this.#version) this.#log.info({ event: 'plan.made', version, models: plan.models.size });
    this.#version = version;
    this.#tellClosed(reading.state.closed);
    for (const refused of reading.refused) this.#log.debug({ event: 'source.refused', ...refused });
    for (const warning of plan.warnings) this.#log.debug({ event: 'plan.warning', ...warning });
    this.#duties.update(planned);
  }

  /** Once each time: everybody is turned away meanwhile. */
  #tellClosed(closed: ClosedGateway | undefined): void {
    if (closed === this.#closed) return;
    this.#closed = closed;
    if (closed === undefined) this.#log.info({ event: 'gateway.opened' });
    else this.#log.error({ event: 'gateway.closed', gateway: closed.key, why: closed.why });
  }

  #onSourceEvent(event: SourceEvent): void {
    if (event.event === 'source.listed') this.#metrics.sourceListed(event.collection);
    if (event.event === 'source.interrupted') this.#metrics.sourceInterrupted(event.collection);
    this.#tell(event);
  }

  #onStatusEvent(event: StatusEvent): void {
    if (event.event === 'status.written') this.#metrics.statusWrite('written');
    if (event.event === 'status.failed') this.#metrics.statusWrite('failed');
    if (event.event === 'budget.warning') this.#metrics.budgetEvent('warning');
    if (event.event === 'budget.exhausted') this.#metrics.budgetEvent('exhausted');
    if (event.event === 'status.written') this.#log.debug(event);
    else this.#tell(event);
  }

  /** Takes part in the election; without a lease there is none to lose. */
  #campaign(): { resign(): Promise<void> } {
    const { lease, pod } = this.#options;
    if (lease === undefined) {
      this.#lead('leading');
      return { resign: async () => undefined };
    }
    const api = this.#api;
    const resigned = new AbortController();
    const label = pod && new LeaderLabel({ api, pod, signal: this.#signal, onEvent: event => this.#tell(event) });
    const election = new Election({
      api,
      lease,
      identity: `${pod?.name ?? hostname()}_${randomUUID()}`,
      signal: resigned.signal,
      onState: state => {
        this.#lead(state);
        label?.follow(state);
      },
      onDoubt: () => this.#publisher.disconnectAgents('another may lead by now'),
      onEvent: event => this.#tell(event),
    });
    return {
      resign: async () => {
        resigned.abort();
        await election.ended;
      },
    };
  }

  #lead(state: LeaderState): void {
    this.#state = state;
    this.#duties.follow(state);
  }

  /** What the leader's port shows to agents, and asks of them. */
  async #listen(signal: AbortSignal) {
    const { listen, tlsSecret, tlsName = [], agentAccount } = this.#options;
    if (tlsSecret === undefined || agentAccount === undefined) return this.#publisher.listen(listen, signal);
    const onEvent = (event: CertificateEvent | RefusalEvent) => this.#tell(event);
    const source = await serveCertificate({ api: this.#api, secret: tlsSecret, dnsNames: tlsName, signal, onEvent });
    const reviewer = new TokenReviewer({ api: this.#api, audience: AUDIENCE, account: agentAccount });
    const guard = agentAuthentication({ reviewer, onEvent });
    this.#streams = guard.counts;
    return this.#publisher.listen(listen, signal, { credentials: grpcServerCredentials(source), guard });
  }

  #tell(event: { readonly event: string }): void {
    if (ALARMS.has(event.event)) this.#log.warn(event);
    else this.#log.info(event);
  }
}

function lacksLimitStore({ report }: ConnectedAgent): boolean {
  return report !== undefined && report.limitStoreFailure !== '';
}

function endpointsOf({ endpoints }: Plan): number {
  let count = 0;
  for (const group of endpoints.values()) count += group.endpoints.length;
  return count;
}
