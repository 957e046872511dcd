import { z } from 'zod';
import { backendSchema, checkBackends } from './backend.ts';
import { duration } from './duration.ts';
import { limitsOfModel } from './limit.ts';
import { API_VERSION, metadataSchema } from './metadata.ts';
import { MAX_MODEL_NAME_BYTES, publicName } from './model-name.ts';
import { pricingSchema } from './pricing.ts';
import { expecting } from './wording.ts';

/** What a model is for; decides which endpoints of the API it answers. */
const MODEL_TYPES = [
  'text-generation',
  'image-text-to-text',
  'text-embeddings',
  'text-ranking',
  'text-classification',
  'automatic-speech-recognition',
  'text-to-speech',
  'text-to-image',
] as const;

/** Strategies by their usual spelling; the spellings with an underscore are accepted as well. */
const STRATEGIES = ['random', 'shuffle', 'round-robin', 'least-request', 'throughput'] as const;
const STRATEGY_SPELLINGS = [...STRATEGIES, 'round_robin', 'least_request'] as const;

/** A request lists at most three endpoints, the first and two more. */
const MAX_RETRY_ATTEMPTS = 2;

const MAX_ALIASES = 64;
const MAX_BACKENDS = 16;
const UINT32_MAX = 4_294_967_295;

const version = z
  .string(expecting('a version', given => (typeof given === 'number' ? `"${given}"` : undefined)))
  .max(63, expecting('at most 63 characters'))
  .regex(/^[A-Za-z0-9]([A-Za-z0-9._+-]*[A-Za-z0-9])?$/, expecting('letters, digits, dots, dashes, underscores or `+`'));

const routingSchema = z.strictObject({
  strategy: z
    .enum(STRATEGY_SPELLINGS)
    .default('least-request')
    .describe('How an endpoint is picked for a request: random, shuffle, round-robin, least-request or throughput.'),
  clientMayChoose: z
    .boolean()
    .default(true)
    .describe('Whether a request may ask for another strategy by its routing-strategy header; else that is ignored.'),
});

const timeoutsSchema = z.strictObject({
  connect: duration()
    .default('5s')
    .describe('Until a connection to an endpoint stands; then the next endpoint is tried.'),
  request: duration().default('600s').describe('For the whole exchange, the last byte of the answer included.'),
  headers: duration().default('60s').describe("Until an endpoint's response headers, for each attempt."),
  idle: duration().default('60s').describe('Between two bytes of an answer.'),
});

const retriesSchema = z.strictObject({
  attempts: z
    .int()
    .min(0)
    .max(MAX_RETRY_ATTEMPTS)
    .default(MAX_RETRY_ATTEMPTS)
    .describe('Further endpoints tried when one fails before its response headers; 0 for none.'),
});

const specSchema = z.strictObject({
  model: publicName()
    .optional()
    .describe('The id that clients ask for and /v1/models lists; metadata.name when absent.'),
  aliases: z
    .array(publicName())
    .max(MAX_ALIASES)
    .default([])
    .describe('Further names for the model, unique over the ids and aliases of the whole gateway.'),
  type: z
    .enum(MODEL_TYPES)
    .default('text-generation')
    .describe('What the model is for; decides which endpoints it serves.'),
  version: version
    .optional()
    .describe(
      'Lets several ModelDeployments share one id: `id@version` asks for this one, `id` for the default or newest.',
    ),
  default: z
    .boolean()
    .default(false)
    .describe(
      'Answers requests that name no version, whichever version is the newest; one among those that share an id.',
    ),
  maxContextLength: z
    .int()
    .min(1)
    .max(UINT32_MAX)
    .optional()
    .describe('Tokens of prompt and answer together; shown in /v1/models. Only what is certainly longer is refused.'),
  ownedBy: z.string().max(256).optional().describe('Who owns the model, shown in /v1/models.'),
  backends: z
    .array(backendSchema)
    .min(1)
    .max(MAX_BACKENDS)
    .check(checkBackends)
    .describe('Where the model runs: groups of endpoints, each of one make and speed.'),
  routing: routingSchema.prefault({}).describe('How endpoints are picked.'),
  timeouts: timeoutsSchema.prefault({}).describe('How long things may take, as durations such as `5s`.'),
  retries: retriesSchema.prefault({}).describe('What happens when an endpoint fails before its response headers.'),
  limits: limitsOfModel().prefault([]).describe('How much all callers together may ask of it.'),
  pricing: pricingSchema.optional().describe('What it costs its callers; nothing when absent.'),
  forceUsage: z
    .boolean()
    .default(false)
    .describe(
      'Whether streams are asked for their usage when the client did not: limits and prices are then exact, and clients see one chunk more.',
    ),
});

/** One model under one public id, and where it runs. */
export const modelDeploymentSchema = z
  .strictObject({
    apiVersion: z.literal(API_VERSION).describe('Version of this resource.'),
    kind: z.literal('ModelDeployment').describe('Kind of this resource.'),
    metadata: metadataSchema.describe('Name, namespace and labels.'),
    spec: specSchema.describe('What is served, and from where.'),
    status: z.unknown().optional().describe('Written by Fairlead in a cluster; ignored in files.'),
  })
  .check(checkNames);

export type ModelDeployment = z.output<typeof modelDeploymentSchema>;
export type ModelDeploymentSpec = ModelDeployment['spec'];

/** The public id: what `spec.model` says, else the resource's name. */
export function modelId(name: string, spec: Pick<ModelDeploymentSpec, 'model'>): string {
  return spec.model ?? name;
}

function checkNames(context: z.core.ParsePayload<ModelDeployment>): void {
  const { metadata, spec } = context.value;
  const id = modelId(metadata.name, spec);
  const suffixBytes = spec.version === undefined ? 0 : spec.version.length + 1;
  const seen = new Map<string, string>([[id, 'the id of the model']]);
  const names = [id, ...spec.aliases];
  for (const [index, name] of names.entries()) {
    const path =
      index === 0 ? ['spec', spec.model === undefined ? 'version' : 'model'] : ['spec', 'aliases', index - 1];
    const before = index === 0 ? undefined : seen.get(name);
    if (before !== undefined) {
      context.issues.push({ code: 'custom', input: name, path, message: `\`${name}\` is already ${before}` });
    } else if (Buffer.byteLength(name) + suffixBytes > MAX_MODEL_NAME_BYTES) {
      const message = `longer than ${MAX_MODEL_NAME_BYTES} bytes together with \`@${spec.version}\``;
      context.issues.push({ code: 'custom', input: name, path, message });
    }
    if (index > 0) seen.set(name, `spec.aliases[${index - 1}]`);
  }
}
