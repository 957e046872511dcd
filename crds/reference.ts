import { z } from 'zod';
import { consumerSchema } from './consumer.ts';
import { inferenceGatewaySchema } from './inference-gateway.ts';
import { modelDeploymentSchema } from './model-deployment.ts';

/** The part of JSON Schema that the reference shows. */
interface Field {
  readonly type?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly properties?: Readonly<Record<string, Field>>;
  readonly required?: readonly string[];
  readonly items?: Field;
}

interface Row {
  readonly path: string;
  readonly field: Field;
  readonly required: boolean;
}

/** `docs/reference/resources.md`: every field of `spec`, from the schemas that check it. */
export function resourceReference(): string {
  return [
    '# Resources',
    '',
    '<!-- Generated from crds/ by `make docs`; changes made here are lost. -->',
    '',
    'Group `fairlead.dev`, version `v1alpha1`. The same documents work in a directory (`fairlead up DIR`) and in a cluster',
    '(`kubectl apply`). `fairlead validate PATH…` checks them.',
    ...section('ModelDeployment', 'One model under one public id, and where it runs.', modelDeploymentSchema),
    ...section(
      'InferenceGateway',
      'The gateway itself: where it listens and what it reads. One per installation; without one the defaults hold.',
      inferenceGatewaySchema,
    ),
    ...section(
      'Consumer',
      'Who calls: how he is known, which models he may use, how much he may ask for and spend.',
      consumerSchema,
    ),
    '',
  ].join('\n');
}

function section(kind: string, summary: string, schema: z.ZodType): string[] {
  const root = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as Field;
  const spec = root.properties?.spec ?? {};
  return [
    '',
    `## ${kind}`,
    '',
    summary,
    '',
    '| Field of `spec` | Type | Default | Meaning |',
    '|---|---|---|---|',
    ...rows(spec, '').map(({ path, field, required }) => {
      const fallback = required ? 'required' : defaultText(field);
      return `| \`${path}\` | ${typeText(field)} | ${fallback} | ${cell(field.description ?? '')} |`;
    }),
  ];
}

function rows(field: Field, prefix: string): Row[] {
  const required = new Set(field.required);
  return Object.entries(field.properties ?? {}).flatMap(([name, child]) => {
    const path = `${prefix}${name}`;
    const inner = child.items?.properties ? rows(child.items, `${path}[].`) : rows(child, `${path}.`);
    return [{ path, field: child, required: required.has(name) }, ...inner];
  });
}

function typeText({ type, enum: values, items, const: only }: Field): string {
  if (only !== undefined) return `\`${only}\``;
  if (values) return values.map(value => `\`${value}\``).join(' ');
  if (type === 'array') return items?.properties ? 'list of objects' : `list of ${items?.type ?? 'value'}s`;
  return type ?? 'any';
}

function defaultText({ default: value }: Field): string {
  if (value === undefined) return '';
  const text = JSON.stringify(value);
  return text === '{}' ? '' : `\`${cell(text)}\``;
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('\n', ' ');
}
