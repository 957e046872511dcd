import type { NodeDescription } from '../../agent/admin/pages.ts';
import type { EndpointExplanation, ModelExplanation } from '../../agent/messages.ts';
import { askAdmin } from './admin.ts';
import { tableText } from './table-text.ts';

interface ExplainOptions {
  readonly admin: string;
  readonly output: 'text' | 'json';
}

interface Explanation extends Omit<NodeDescription, 'models'> {
  readonly model: ModelExplanation | null;
  readonly rejections?: readonly { readonly message: string }[];
}

/** What `fairlead explain` prints, and whether there is such a model. */
export async function explain(
  model: string | undefined,
  { admin, output }: ExplainOptions,
): Promise<{ readonly text: string; readonly found: boolean }> {
  const page = model === undefined ? '/explain' : `/explain?model=${encodeURIComponent(model)}`;
  const explanation = await askAdmin<Explanation>(admin, page, 'model');
  const found = model === undefined || explanation.model !== null;
  if (output === 'json') return { text: `${JSON.stringify(explanation, null, 2)}\n`, found };
  const lines = [...describeState(explanation), ''];
  if (explanation.model) lines.push(describeModel(explanation.model, explanation.rejections ?? []));
  else if (!found) lines.push(`No model is named ${model}. "fairlead models" lists those that there are.`);
  return { text: `${lines.join('\n').trimEnd()}\n`, found };
}

function describeState({ node, table, controlPlane, envoy, listeners }: Explanation): string[] {
  return [
    table
      ? `Node ${node} follows table ${table.version}, received ${ageText(table.ageSeconds)} ago.`
      : `Node ${node} has no route table yet: nothing is served.`,
    controlPlane.connected
      ? `The control plane is connected (${controlPlane.address}).`
      : `The control plane is away (${controlPlane.address}): the table stays as it is until it is back.`,
    envoy.connected ? `Envoy is connected and listens on ${listeners.join(', ')}.` : 'Envoy is not connected.',
    ...envoy.refused.map(({ name, message }) => `Envoy refused ${name}: ${message}`),
  ];
}

function describeModel(model: ModelExplanation, rejections: readonly { readonly message: string }[]): string {
  const heading = `${model.id} (${model.key}), strategy ${model.strategy}:`;
  const refused = rejections.map(({ message }) => `Envoy refused its configuration: ${message}`);
  if (model.endpoints.length === 0)
    return [heading, 'no endpoints, so requests get 503 no_ready_endpoints.', ...refused].join('\n');
  const table = tableText(
    ['endpoint', 'address', 'backend', 'priority', 'in flight', 'score', 'state', 'last failures'],
    model.endpoints.map(row),
  );
  return [heading, table, ...refused].join('\n');
}

function row(endpoint: EndpointExplanation): string[] {
  return [
    endpoint.endpoint,
    endpoint.address,
    endpoint.backend,
    String(endpoint.priority),
    String(endpoint.inFlight),
    endpoint.score === undefined ? '' : endpoint.score.toFixed(2),
    endpoint.usable ? 'usable' : (endpoint.reason ?? 'not usable'),
    endpoint.failures.join('; '),
  ];
}

function ageText(seconds: number): string {
  if (seconds < 90) return `${seconds.toFixed(1)} s`;
  if (seconds < 5_400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}
