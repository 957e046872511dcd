import { METRICS } from './metric-list.ts';

/** docs/reference/metrics.md, from the list that the metrics themselves are made of. */
export function metricsReference(): string {
  const rows = Object.values(METRICS).map(({ name, type, labels, help }) => {
    const names = labels.map(label => `\`${label}\``).join(', ');
    return `| \`${name}\` | ${type} | ${names} | ${help} |`;
  });
  return `# Metrics

<!-- Generated from telemetry/metric-list.ts by \`make docs\`; changes made here are lost. -->

Every node serves these at \`/metrics\` on its admin port (\`admin.port\` of the InferenceGateway, 8889 by default). They
count from the start of its ext_proc process; those of a model that is gone, until ten minutes after. Envoy has its own,
on its own admin port.

| Metric | Type | Labels | Meaning |
|---|---|---|---|
${rows.join('\n')}
`;
}
