import type { NodeDescription } from '../../agent/admin/pages.ts';
import { askAdmin } from './admin.ts';
import { tableText } from './table-text.ts';

interface ModelsOptions {
  readonly admin: string;
  readonly output: 'text' | 'json';
}

/** What `fairlead models` prints. */
export async function models({ admin, output }: ModelsOptions): Promise<string> {
  const { models } = await askAdmin<NodeDescription>(admin, '/table', 'models');
  if (output === 'json') return `${JSON.stringify(models, null, 2)}\n`;
  if (models.length === 0) return 'No models. Declare one with a ModelDeployment.\n';
  return tableText(
    ['model', 'type', 'aliases', 'ready', 'strategy', 'resource'],
    models.map(model => [
      model.version ? `${model.id}@${model.version}` : model.id,
      model.type,
      model.aliases.join(', '),
      `${model.endpoints.ready}/${model.endpoints.total}`,
      model.strategy,
      model.key,
    ]),
  );
}
