import { Counter, Gauge, type Metric, type MetricObjectWithValues, type MetricValue, Registry } from 'prom-client';
import { METRICS, type MetricSpec } from './metric-list.ts';
import type { DataPlaneSnapshot, HistogramSnapshot } from './snapshot.ts';

/** A metric's labels and value. */
type Sample = readonly [labels: Readonly<Record<string, string>>, value: number];

/** Money is counted in 10^-9 of a currency. */
const NANO = 1e9;

/** What the data thread counted, as Prometheus text. Not cheap: for another thread than the one that serves. */
export async function renderMetrics(
  snapshot: DataPlaneSnapshot,
  nowMs: () => number = Date.now,
): Promise<{ readonly contentType: string; readonly text: string }> {
  const registry = new Registry();
  const counter = (spec: MetricSpec, samples: Iterable<Sample>) => fill(new Counter(options(spec, registry)), samples);
  const gauge = (spec: MetricSpec, samples: Iterable<Sample>) => fill(new Gauge(options(spec, registry)), samples);
  const { requests, tokens, settlements, inFlight, pickSeconds, tableVersion, tableReceivedAtMs } = snapshot;

  counter(
    METRICS.requests,
    requests.map(({ count, ...labels }) => [{ ...labels }, count]),
  );
  counter(
    METRICS.tokens,
    tokens.map(({ count, ...labels }) => [{ ...labels }, count]),
  );
  counter(
    METRICS.settlements,
    settlements.map(({ kind, count }) => [{ kind }, count]),
  );
  gauge(
    METRICS.inFlight,
    inFlight.map(({ model, count }) => [{ model }, count]),
  );
  registry.registerMetric(histogram(METRICS.pick, pickSeconds));
  const { consumers, checks, budgets, store } = snapshot.limits;
  counter(
    METRICS.consumerRequests,
    consumers.map(({ consumer, requests }) => [{ consumer }, requests]),
  );
  counter(
    METRICS.consumerTokens,
    consumers.flatMap(({ consumer, inputTokens, outputTokens }): Sample[] => [
      [{ consumer, kind: 'input' }, inputTokens],
      [{ consumer, kind: 'output' }, outputTokens],
    ]),
  );
  counter(
    METRICS.consumerCost,
    consumers.flatMap(({ consumer, spent }) =>
      spent.map(({ currency, nano }): Sample => [{ consumer, currency }, nano / NANO]),
    ),
  );
  counter(
    METRICS.limitChecks,
    checks.map(({ count, scope, limit, outcome }) => [{ scope, limit, outcome }, count]),
  );
  gauge(
    METRICS.budgetUsed,
    budgets.map(({ consumer, spent, amount }) => [{ consumer }, spent / amount]),
  );
  if (store !== undefined) {
    gauge(METRICS.storeUp, [[{}, Number(store.up)]]);
    counter(METRICS.storeFailures, [[{}, store.failures]]);
    counter(METRICS.withoutStore, [[{}, store.withoutStore]]);
    counter(METRICS.storeDropped, [[{}, store.dropped]]);
  }
  if (tableVersion !== '') {
    gauge(METRICS.tableInfo, [[{ version: tableVersion }, 1]]);
    gauge(METRICS.tableAge, [[{}, Math.max(0, nowMs() - tableReceivedAtMs) / 1_000]]);
  }
  if (snapshot.endpoints !== undefined) {
    const rows = snapshot.endpoints.map(row => ({ row, labels: { endpoint: row.endpoint, address: row.address } }));
    gauge(
      METRICS.endpointInFlight,
      rows.map(({ row, labels }) => [labels, row.inFlight]),
    );
    gauge(
      METRICS.endpointTokens,
      rows.map(({ row, labels }) => [labels, row.tokens]),
    );
    gauge(
      METRICS.endpointUsable,
      rows.map(({ row, labels }) => [labels, Number(row.usable)]),
    );
  }
  return { contentType: registry.contentType, text: await registry.metrics() };
}

function options({ name, help, labels }: MetricSpec, registry: Registry) {
  return { name, help, labelNames: [...labels], registers: [registry] };
}

/** Rows with the same labels add up: two pods can have had one name and address one after the other. */
function fill(metric: Counter | Gauge, samples: Iterable<Sample>): void {
  for (const [labels, value] of samples) metric.inc({ ...labels }, value);
}

/** prom-client's own histogram takes single observations only; this one shows buckets counted elsewhere. */
function histogram({ name, help, type }: MetricSpec, { bounds, counts, sum }: HistogramSnapshot): Metric {
  const values: (MetricValue<string> & { metricName: string })[] = [];
  let total = 0;
  for (const [i, count] of counts.entries()) {
    total += count;
    values.push({ metricName: `${name}_bucket`, labels: { le: bounds[i] ?? '+Inf' }, value: total });
  }
  values.push({ metricName: `${name}_sum`, labels: {}, value: sum });
  values.push({ metricName: `${name}_count`, labels: {}, value: total });
  const shown = { name, help, type, aggregator: 'sum', values };
  return { ...shown, get: async () => shown, reset: () => {} } as unknown as Metric & {
    get(): Promise<MetricObjectWithValues<MetricValue<string>>>;
  };
}
