import type { NodeDescription } from '../../../agent/admin/pages.ts';
import { ApiConnection } from '../../../operator/api/api-connection.ts';
import { until } from '../../e2e/harness/until.ts';
import { type Installation, isReady, type ListedPod } from './installation.ts';

const TIMEOUT_MS = 60_000;
const OPERATORS = 'app.kubernetes.io/component=operator';
const GATEWAYS = 'app.kubernetes.io/component=gateway';

/** A line of a log, as far as tests look. */
export interface LogEvent {
  readonly event?: string;
  /** Milliseconds since the epoch. */
  readonly time: number;
  readonly [field: string]: unknown;
}

/** Operators and agents of an installation, as they are seen from outside. */
export class ControlPlane {
  readonly #installation: Installation;
  readonly #api: ApiConnection;

  constructor(installation: Installation) {
    this.#installation = installation;
    this.#api = new ApiConnection(installation.cluster.access());
  }

  /** Names of the pods that carry the leader's label. */
  async labelled(): Promise<readonly string[]> {
    return (await this.#pods(`${OPERATORS},fairlead.dev/leader=true`)).map(({ metadata }) => metadata.name);
  }

  /** The one pod that carries the leader's label and is ready, when it is another than `before`. */
  untilLeader(before?: string): Promise<string> {
    return until(
      `a leader that is not ${before}`,
      async () => {
        const [leader, ...others] = await this.#pods(`${OPERATORS},fairlead.dev/leader=true`);
        if (leader === undefined || others.length > 0 || !isReady(leader)) return undefined;
        return leader.metadata.name !== before && leader.metadata.name;
      },
      TIMEOUT_MS,
    );
  }

  operators(): Promise<readonly ListedPod[]> {
    return this.#pods(OPERATORS);
  }

  gateways(): Promise<readonly ListedPod[]> {
    return this.#pods(GATEWAYS);
  }

  /** What the agent of a gateway pod says of itself; undefined when it does not. */
  node({ status }: ListedPod): Promise<NodeDescription | undefined> {
    return fetch(`http://${status.podIP}:8889/table`).then(
      answer => answer.json() as Promise<NodeDescription>,
      () => undefined,
    );
  }

  /** Until every gateway's agent says that it is connected, or that it is not. */
  async untilAgents(state: 'connected' | 'away'): Promise<void> {
    await until(
      `agents ${state}`,
      async () => {
        const nodes = await Promise.all((await this.gateways()).map(pod => this.node(pod)));
        return nodes.every(node => node?.controlPlane.connected === (state === 'connected'));
      },
      TIMEOUT_MS,
    );
  }

  /** What a container has told in its log until now, of one kind. */
  events(pod: string, container: string, event: string): readonly LogEvent[] {
    const lines = this.#installation.log(pod, container).split('\n');
    // What is no event, as a stack trace, is none of these.
    return lines
      .filter(line => line.includes(`"event":"${event}"`))
      .map(line => JSON.parse(line))
      .map(({ time, ...fields }) => ({ ...fields, time: Date.parse(time) }));
  }

  /** How often agents lost the control plane until now, by gateway. */
  async disconnections(): Promise<Readonly<Record<string, number>>> {
    const counts = (await this.gateways()).map(({ metadata: { name } }) => [
      name,
      this.events(name, 'extproc', 'table.disconnected').length,
    ]);
    return Object.fromEntries(counts);
  }

  /** Until the example's model can be asked for by this name. */
  async untilServed(url: string, model: string, timeoutMs = TIMEOUT_MS): Promise<void> {
    await until(
      `${model} is served`,
      () =>
        ask(url, model).then(
          ({ status }) => status === 200,
          () => false,
        ),
      timeoutMs,
    );
  }

  async #pods(labelSelector: string): Promise<readonly ListedPod[]> {
    const path = `/api/v1/namespaces/${this.#installation.namespace}/pods`;
    const request = { method: 'GET', path, query: { labelSelector } } as const;
    const { object, failure } = await this.#api.send(request, AbortSignal.timeout(10_000));
    if (failure) throw new Error(failure.message);
    return (object as { items: ListedPod[] }).items;
  }
}

/** A chat completion; its stream is not read. */
export function ask(url: string, model: string, more: object = {}): Promise<Response> {
  const messages = [{ role: 'user', content: 'Hi' }];
  return fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model, messages, max_tokens: 2, ...more }),
  });
}

/** The example's pods, under another name. */
export function modelNamed(name: string, namespace: string, more: object = {}) {
  const pods = { selector: { matchLabels: { app: 'llama' } }, port: 8000 };
  const backends = [{ name: 'vllm', runtime: 'vllm', pods, model: 'meta-llama/Llama-3.1-8B-Instruct' }];
  const spec = { model: name, type: 'text-generation', backends, ...more };
  return { apiVersion: 'fairlead.dev/v1alpha1', kind: 'ModelDeployment', metadata: { name, namespace }, spec };
}
