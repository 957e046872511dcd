import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { customResourceDefinitions, definitionText } from './custom-resource-definition.ts';

for (const [name, definition] of customResourceDefinitions()) {
  test(`charts/fairlead/crds/${name} is what the schemas say: else run make docs`, async () => {
    const written = await readFile(join(import.meta.dirname, '..', 'charts', 'fairlead', 'crds', name), 'utf8');
    assert.equal(written, definitionText(definition));
  });
}

test('every field has a description, so that kubectl explain has something to say', () => {
  interface Schema {
    readonly description?: string;
    readonly properties?: Readonly<Record<string, Schema>>;
    readonly items?: Schema;
  }
  const silent: string[] = [];
  const visit = (schema: Schema, path: string) => {
    for (const [name, child] of Object.entries(schema.properties ?? {})) {
      if (path !== '' && child.description === undefined) silent.push(`${path}.${name}`);
      visit(child, `${path}.${name}`);
    }
    if (schema.items) visit(schema.items, `${path}[]`);
  };
  for (const definition of customResourceDefinitions().values()) {
    const { spec } = definition as { spec: { versions: { schema: { openAPIV3Schema: Schema } }[] } };
    const root = spec.versions[0]?.schema.openAPIV3Schema.properties ?? {};
    visit(root.spec ?? {}, 'spec');
    visit(root.status ?? {}, 'status');
  }
  assert.deepEqual(silent, []);
});
