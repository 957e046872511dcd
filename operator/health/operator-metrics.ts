import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { MetricSpec } from '../../telemetry/metric-list.ts';
import { OPERATOR_METRICS } from '../../telemetry/operator-metric-list.ts';

/** Seconds: plans take under 1 s for 10,000 models, under 5 ms for one changed pod. */
const PLAN_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5];

/** What is looked up when somebody scrapes. */
interface OperatorView {
  leading(): boolean;
  /** Of the route table that is published. */
  version(): string;
  /** How many are connected. */
  agents(): number;
  /** How many of them do not reach the store of limits. */
  withoutLimitStore(): number;
  /** What became of the streams of agents of this term of leadership, by result. */
  streams(): Readonly<Record<string, number>>;
}

/** A plan that was made. */
interface PlanFacts {
  readonly models: number;
  readonly consumers: number;
  readonly endpoints: number;
  readonly tookMs: number;
}

/** What an operator counts, with the figures of its process. Made once in a process, since those go on for ever. */
export class OperatorMetrics {
  readonly #registry = new Registry();
  readonly #models = this.#gauge(OPERATOR_METRICS.models);
  readonly #endpoints = this.#gauge(OPERATOR_METRICS.endpoints);
  readonly #consumers = this.#gauge(OPERATOR_METRICS.consumers);
  readonly #budgetEvents = this.#counter(OPERATOR_METRICS.budgetEvents);
  readonly #planSeconds = new Histogram({ ...this.#options(OPERATOR_METRICS.plan), buckets: PLAN_BUCKETS });
  readonly #statusWrites = this.#counter(OPERATOR_METRICS.statusWrites);
  readonly #sourceLists = this.#counter(OPERATOR_METRICS.sourceLists);
  readonly #sourceInterruptions = this.#counter(OPERATOR_METRICS.sourceInterruptions);

  constructor(view: OperatorView) {
    this.#gauge(OPERATOR_METRICS.leader, () => Number(view.leading()));
    const tableInfo: Gauge = new Gauge({
      ...this.#options(OPERATOR_METRICS.tableInfo),
      collect: () => {
        tableInfo.reset();
        if (view.version() !== '') tableInfo.set({ version: view.version() }, 1);
      },
    });
    this.#gauge(OPERATOR_METRICS.agents, () => view.agents());
    this.#gauge(OPERATOR_METRICS.storeFailures, () => view.withoutLimitStore());
    const streams: Counter = this.#counter(OPERATOR_METRICS.agentStreams, () => {
      streams.reset();
      for (const [result, count] of Object.entries(view.streams())) streams.inc({ result }, count);
    });
    collectDefaultMetrics({ register: this.#registry });
  }

  planned({ models, consumers, endpoints, tookMs }: PlanFacts): void {
    this.#models.set(models);
    this.#consumers.set(consumers);
    this.#endpoints.set(endpoints);
    this.#planSeconds.observe(tookMs / 1_000);
  }

  budgetEvent(event: 'warning' | 'exhausted'): void {
    this.#budgetEvents.inc({ event });
  }

  statusWrite(result: 'written' | 'failed'): void {
    this.#statusWrites.inc({ result });
  }

  sourceListed(collection: string): void {
    this.#sourceLists.inc({ collection });
  }

  sourceInterrupted(collection: string): void {
    this.#sourceInterruptions.inc({ collection });
  }

  /** As Prometheus text. */
  async render(): Promise<{ readonly contentType: string; readonly text: string }> {
    return { contentType: this.#registry.contentType, text: await this.#registry.metrics() };
  }

  #gauge(spec: MetricSpec, read?: () => number): Gauge {
    const gauge: Gauge = new Gauge({ ...this.#options(spec), ...(read && { collect: () => gauge.set(read()) }) });
    return gauge;
  }

  #counter(spec: MetricSpec, collect?: () => void): Counter {
    return new Counter({ ...this.#options(spec), ...(collect && { collect }) });
  }

  #options({ name, help, labels }: MetricSpec) {
    return { name, help, labelNames: [...labels], registers: [this.#registry] };
  }
}
