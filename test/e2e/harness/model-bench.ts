import type { EndpointExplanation } from '../../../agent/messages.ts';
import { type PodSpec, type SimPod, startPods } from '../../../sim/pod.ts';
import type { Decision } from './decisions.ts';
import { type Gateway, type Manifest, model } from './gateway.ts';
import { until } from './until.ts';

/** An answer, and how its endpoint was picked. */
export interface ExplainedAnswer {
  readonly status: number;
  readonly text: string;
  readonly headers: Headers;
  /** Names of the endpoints that it could go to, the first one in front. */
  readonly chosen: readonly string[];
}

/** Models on a running gateway, each in a file of its own and on pods of its own. */
export class ModelBench {
  readonly #gateway: Gateway;
  readonly #pods: SimPod[] = [];

  constructor(gateway: Gateway) {
    this.#gateway = gateway;
  }

  get pods(): readonly SimPod[] {
    return this.#pods;
  }

  /** Starts pods "NAME-0", "NAME-1" and so on. */
  async start(name: string, count: number, spec: Partial<PodSpec> = {}): Promise<SimPod[]> {
    const names = Array.from({ length: count }, (_, index) => `${name}-${index}`);
    const pods = await startPods(names.map(each => ({ models: [name], timeScale: 100, ...spec, name: each })));
    this.#pods.push(...pods);
    return pods;
  }

  /** Starts pods and serves a model on them, one after the other: its endpoints are "pods-0", "pods-1" and so on. */
  async serve(name: string, count: number, spec: Manifest = {}, podSpec: Partial<PodSpec> = {}): Promise<SimPod[]> {
    const pods = await this.start(name, count, podSpec);
    const endpoints = pods.map(({ endpoint }) => endpoint);
    this.#gateway.write(`${name}.yaml`, [model(name, endpoints, { routing: { strategy: 'round-robin' }, ...spec })]);
    await this.#gateway.untilServed(name, count);
    return pods;
  }

  async ask(name: string, more: object = {}): Promise<ExplainedAnswer> {
    const init = { headers: { 'x-fairlead-explain': '1' } };
    const response = await this.#gateway.chat(name, init, { max_tokens: 4, ...more });
    const { status, headers } = response;
    const { chosen = [] } = JSON.parse(headers.get('x-fairlead-explain') ?? '{}') as { chosen?: string[] };
    return { status, headers, chosen, text: await response.text() };
  }

  /** One request after the other. */
  async askTimes(name: string, times: number): Promise<ExplainedAnswer[]> {
    const answers: ExplainedAnswer[] = [];
    for (let asked = 0; asked < times; asked++) answers.push(await this.ask(name));
    return answers;
  }

  /** How the picker sees a model's endpoint now. */
  async endpoint(name: string, pod: SimPod): Promise<EndpointExplanation> {
    const { endpoints } = await this.#gateway.explain(name);
    const found = endpoints.find(({ address }) => address === pod.endpoint);
    if (!found) throw new Error(`${name} has no endpoint ${pod.endpoint}`);
    return found;
  }

  /** The decision log of a model, of `count` requests. */
  async decisions(name: string, count: number): Promise<Decision[]> {
    const all = await until(`${count} decisions on ${name}`, () => {
      const decided = this.#gateway.events<Decision>('pick.decided').filter(decision => decision.model === name);
      return decided.length >= count && decided;
    });
    return all.slice(0, count);
  }

  async untilNothingInFlight(): Promise<void> {
    await until('nothing in flight', async () => {
      const lines = (await this.#gateway.metrics()).split('\n').filter(line => line.startsWith('fairlead_in_flight{'));
      return lines.length > 0 && lines.every(line => line.endsWith(' 0'));
    });
  }

  async close(): Promise<void> {
    await Promise.all(this.#pods.map(pod => pod.close()));
  }
}
