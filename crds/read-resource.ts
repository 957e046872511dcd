import type { z } from 'zod';
import { checkFields } from './check-fields.ts';
import { type Consumer, consumerSchema } from './consumer.ts';
import type { FieldPath, FieldProblem } from './field-problem.ts';
import { type InferenceGateway, inferenceGatewaySchema } from './inference-gateway.ts';
import { oneOf } from './issue-wording.ts';
import { KnownFields } from './known-fields.ts';
import { API_VERSION } from './metadata.ts';
import { type ModelDeployment, modelDeploymentSchema } from './model-deployment.ts';
import { nearestName } from './nearest-name.ts';
import { didYouMean, show } from './wording.ts';

export type Resource = ModelDeployment | InferenceGateway | Consumer;

/** A resource with its defaults filled in, or everything that is wrong with it. */
export type ReadResult =
  | { readonly resource: Resource; readonly problems?: never }
  | { readonly resource?: never; readonly problems: readonly FieldProblem[] };

const KINDS: Readonly<Record<string, { schema: z.ZodType<Resource>; fields: KnownFields }>> = {
  ModelDeployment: { schema: modelDeploymentSchema, fields: new KnownFields(modelDeploymentSchema) },
  InferenceGateway: { schema: inferenceGatewaySchema, fields: new KnownFields(inferenceGatewaySchema) },
  Consumer: { schema: consumerSchema, fields: new KnownFields(consumerSchema) },
};

const GROUP = 'fairlead.dev';
/** Kinds that other groups have, too: `Consumer` is one of Kong's and of Kafka's operators. */
const COMMON_KINDS: readonly string[] = ['Consumer'];

/** Whether a document means to be a resource of ours, well made or not. */
export function isOurs(apiVersion: unknown, kind: unknown): boolean {
  if (typeof apiVersion === 'string' && apiVersion.split('/', 1)[0] === GROUP) return true;
  if (typeof kind !== 'string' || !Object.hasOwn(KINDS, kind)) return false;
  return typeof apiVersion !== 'string' || !apiVersion.includes('/') || !COMMON_KINDS.includes(kind);
}

/** Checks a document of ours. Never throws: whatever the document holds, the answer is a resource or problems. */
export function readResource(document: Readonly<Record<string, unknown>>): ReadResult {
  const { apiVersion, kind } = document;
  if (apiVersion !== API_VERSION) return wrong(['apiVersion'], `expected \`${API_VERSION}\`, got ${show(apiVersion)}`);
  const known = typeof kind === 'string' && Object.hasOwn(KINDS, kind) ? KINDS[kind] : undefined;
  if (known === undefined) return wrong(['kind'], unknownKind(kind));
  const { value, problems } = checkFields(known.schema, document, String(kind), known.fields);
  return problems === undefined ? { resource: value } : { problems };
}

function wrong(path: FieldPath, message: string): ReadResult {
  return { problems: [{ path, at: 'value', message }] };
}

function unknownKind(kind: unknown): string {
  const kinds = Object.keys(KINDS);
  const nearest = typeof kind === 'string' ? nearestName(kind, kinds) : undefined;
  return `expected ${oneOf(kinds)}, got ${show(kind)}${didYouMean(nearest)}`;
}
