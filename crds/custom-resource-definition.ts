import { stringify } from 'yaml';
import { z } from 'zod';
import { type CelRule, CONSUMER_RULES, INFERENCE_GATEWAY_RULES, MODEL_DEPLOYMENT_RULES } from './cel-rules.ts';
import { consumerSchema } from './consumer.ts';
import { inferenceGatewaySchema } from './inference-gateway.ts';
import { API_VERSION } from './metadata.ts';
import { modelDeploymentSchema } from './model-deployment.ts';
import { consumerStatusSchema, gatewayStatusSchema, modelStatusSchema } from './status.ts';

/** A node of a structural schema: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema */
interface StructuralSchema {
  [keyword: string]: unknown;
  type?: string;
  properties?: Record<string, StructuralSchema>;
  items?: StructuralSchema;
  additionalProperties?: StructuralSchema | boolean;
}

interface PrinterColumn {
  readonly name: string;
  readonly type: 'string' | 'date';
  readonly jsonPath: string;
  readonly description: string;
  /** Above 0: only in wide output. */
  readonly priority?: number;
}

/** What a CustomResourceDefinition says besides its schema. */
interface ResourceKind {
  readonly kind: string;
  readonly plural: string;
  readonly shortNames: readonly string[];
  readonly description: string;
  readonly schema: z.ZodType;
  readonly status: z.ZodType;
  readonly rules: Readonly<Record<string, readonly CelRule[]>>;
  /** Patterns of strings that zod checks by code, by their path. */
  readonly patterns: Readonly<Record<string, string>>;
  /** Strings in whose place somebody may have put a key: the API server is given nothing by which it would show them. */
  readonly unshown?: readonly string[];
  /** Lists whose items are told apart by a field, by their path. */
  readonly listMapKeys: Readonly<Record<string, string>>;
  /** Lists that have no item twice. */
  readonly sets: readonly string[];
  readonly columns: readonly PrinterColumn[];
}

const AGE: PrinterColumn = {
  name: 'Age',
  type: 'date',
  jsonPath: '.metadata.creationTimestamp',
  description: 'Time since it was created.',
};

const PROGRAMMED: PrinterColumn = {
  name: 'Programmed',
  type: 'string',
  jsonPath: '.status.conditions[?(@.type=="Programmed")].status',
  description: 'Whether the connected gateways follow it.',
};

const MODEL_DEPLOYMENT: ResourceKind = {
  kind: 'ModelDeployment',
  plural: 'modeldeployments',
  shortNames: ['md'],
  description: 'One model under one public id, and where it runs.',
  schema: modelDeploymentSchema,
  status: modelStatusSchema,
  rules: MODEL_DEPLOYMENT_RULES,
  // As a rule in CEL it would cost more than the API server allows for 16,000 endpoints.
  patterns: { 'spec.backends[].endpoints[]': '^(\\[[0-9A-Fa-f:.]+\\]|[A-Za-z0-9._-]+):[1-9][0-9]{0,4}$' },
  listMapKeys: { 'spec.backends': 'name', 'status.conditions': 'type' },
  sets: ['spec.aliases'],
  columns: [
    { name: 'Model', type: 'string', jsonPath: '.status.model', description: 'The id that clients ask for.' },
    { name: 'Type', type: 'string', jsonPath: '.spec.type', description: 'What the model is for.' },
    { name: 'Ready', type: 'string', jsonPath: '.status.ready', description: 'Ready endpoints of all.' },
    { name: 'Strategy', type: 'string', jsonPath: '.spec.routing.strategy', description: 'How endpoints are picked.' },
    AGE,
    {
      name: 'Message',
      type: 'string',
      jsonPath: '.status.conditions[?(@.type=="Ready")].message',
      description: 'What the Ready condition says.',
      priority: 1,
    },
  ],
};

const INFERENCE_GATEWAY: ResourceKind = {
  kind: 'InferenceGateway',
  plural: 'inferencegateways',
  shortNames: ['igw'],
  description: 'The gateway itself: where it listens and what it reads. One per installation.',
  schema: inferenceGatewaySchema,
  status: gatewayStatusSchema,
  rules: INFERENCE_GATEWAY_RULES,
  patterns: {},
  listMapKeys: { 'spec.listeners': 'name', 'spec.authentication.jwt': 'issuer', 'status.conditions': 'type' },
  sets: ['spec.modelHeaders', 'spec.cors.allowOrigins'],
  columns: [
    {
      name: 'Accepted',
      type: 'string',
      jsonPath: '.status.conditions[?(@.type=="Accepted")].status',
      description: 'Whether this is the one that is served.',
    },
    PROGRAMMED,
    AGE,
  ],
};

const CONSUMER: ResourceKind = {
  kind: 'Consumer',
  plural: 'consumers',
  shortNames: [],
  description: 'Who calls, and what he may do.',
  schema: consumerSchema,
  status: consumerStatusSchema,
  rules: CONSUMER_RULES,
  // The format takes more than that, such as a time of no zone.
  patterns: {
    'spec.apiKeys[].expires':
      '^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})$',
  },
  unshown: ['spec.apiKeys[].name', 'spec.apiKeys[].secretRef.name', 'spec.apiKeys[].secretRef.key'],
  listMapKeys: { 'status.conditions': 'type' },
  sets: ['spec.users'],
  columns: [
    {
      name: 'Accepted',
      type: 'string',
      jsonPath: '.status.conditions[?(@.type=="Accepted")].status',
      description: 'Whether its keys and names are its own, and it can be served.',
    },
    PROGRAMMED,
    {
      name: 'Spent',
      type: 'string',
      jsonPath: '.status.spend.amount',
      description: 'Spent in the period of its budget.',
    },
    AGE,
    {
      name: 'Message',
      type: 'string',
      jsonPath: '.status.conditions[?(@.type=="Accepted")].message',
      description: 'What the Accepted condition says.',
      priority: 1,
    },
  ],
};

/** The CustomResourceDefinitions, by the name of the file that each belongs in. */
export function customResourceDefinitions(): ReadonlyMap<string, object> {
  return new Map(
    [MODEL_DEPLOYMENT, INFERENCE_GATEWAY, CONSUMER].map(kind => [`${kind.plural}.yaml`, definition(kind)]),
  );
}

/** A definition as it stands in its file. */
export function definitionText(definition: object): string {
  return `# Generated from crds/ by \`make docs\`; changes made here are lost.\n${stringify(definition, { lineWidth: 120 })}`;
}

function definition(resource: ResourceKind): object {
  const { kind, plural, shortNames, columns } = resource;
  const [group = '', version = ''] = API_VERSION.split('/');
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.${group}` },
    spec: {
      group,
      scope: 'Namespaced',
      names: {
        kind,
        listKind: `${kind}List`,
        plural,
        singular: kind.toLowerCase(),
        // An empty list would be a conflict between whoever applies the definition with it.
        ...(shortNames.length > 0 && { shortNames }),
        categories: ['fairlead'],
      },
      versions: [
        {
          name: version,
          served: true,
          storage: true,
          subresources: { status: {} },
          additionalPrinterColumns: columns,
          schema: { openAPIV3Schema: rootSchema(resource) },
        },
      ],
    },
  };
}

function rootSchema(resource: ResourceKind): StructuralSchema {
  const spec = openApi(resource.schema).properties?.spec ?? {};
  const status = openApi(resource.status);
  const root: StructuralSchema = {
    type: 'object',
    description: resource.description,
    required: ['spec'],
    properties: {
      apiVersion: { type: 'string', description: 'Version of this resource.' },
      kind: { type: 'string', description: 'Kind of this resource.' },
      metadata: { type: 'object' },
      spec,
      status: { ...status, description: 'Written by Fairlead.' },
    },
  };
  annotate(root, '', resource);
  return root;
}

function openApi(schema: z.ZodType): StructuralSchema {
  return z.toJSONSchema(schema, { target: 'openapi-3.0', io: 'input', unrepresentable: 'any' }) as StructuralSchema;
}

/** Makes a schema structural and adds what JSON Schema has no words for, all the way down. */
function annotate(schema: StructuralSchema, path: string, resource: ResourceKind): void {
  // The API server prunes unknown fields by itself, and refuses this keyword beside properties.
  if (schema.properties) delete schema.additionalProperties;
  const pattern = resource.patterns[path];
  // The API server shows what does not fit a pattern, and a date-time is checked by its format.
  if (schema.format === 'date-time' || resource.unshown?.includes(path)) delete schema.pattern;
  if (pattern) schema.pattern = pattern;
  const rules = resource.rules[path];
  if (rules) schema['x-kubernetes-validations'] = rules;
  const key = resource.listMapKeys[path];
  if (key) Object.assign(schema, { 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': [key] });
  if (resource.sets.includes(path)) schema['x-kubernetes-list-type'] = 'set';
  for (const [name, child] of Object.entries(schema.properties ?? {})) {
    annotate(child, path === '' ? name : `${path}.${name}`, resource);
  }
  if (schema.items) annotate(schema.items, `${path}[]`, resource);
}
