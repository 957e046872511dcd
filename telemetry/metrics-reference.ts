import { METRICS, type MetricSpec } from './metric-list.ts';
import { OPERATOR_METRICS } from './operator-metric-list.ts';

/** docs/reference/metrics.md, from the lists that the metrics themselves are made of. */
export function metricsReference(): string {
  return `# Metrics

<!-- Generated from telemetry/metric-list.ts and operator-metric-list.ts by \`make docs\`; changes made here are lost. -->

Every node serves these at \`/metrics\` on its admin port (\`admin.port\` of the InferenceGateway, 8889 by default). They
count from the start of its ext_proc process; those of a model that is gone, until ten minutes after. Envoy has its own,
on its own admin port.

${table(METRICS)}

Every operator serves these at \`/metrics\` on its health port (\`--health\`), beside those of any Node.js process
(\`process_…\`, \`nodejs_…\`). They count from the start of the process.

${table(OPERATOR_METRICS)}
`;
}

function table(metrics: Readonly<Record<string, MetricSpec>>): string {
  const rows = Object.values(metrics).map(({ name, type, labels, help }) => {
    const names = labels.map(label => `\`${label}\``).join(', ');
    return `| \`${name}\` | ${type} | ${names} | ${help} |`;
  });
  return ['| Metric | Type | Labels | Meaning |', '|---|---|---|---|', ...rows].join('\n');
}
