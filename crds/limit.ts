import { z } from 'zod';
import { ENDPOINT_SPELLINGS, type Endpoint, endpointOf } from './endpoint-name.ts';
import { quotedList } from './issue-wording.ts';
import { modelPattern } from './model-pattern.ts';

/** What can be counted. */
const UNITS = ['requests', 'tokens', 'inputTokens', 'outputTokens', 'concurrency'] as const;

const PERIOD_SECONDS = { second: 1, minute: 60, hour: 3_600, day: 86_400, month: 2_592_000 } as const;
const PERIODS = Object.keys(PERIOD_SECONDS) as (keyof typeof PERIOD_SECONDS)[];

const EACH = ['consumer', 'user', 'model', 'endpoint'] as const;

const MAX_LIMITS = 32;
const MAX_MODELS = 64;

/** A limit in one form, however it was written. */
export interface LimitSpec {
  readonly unit: (typeof UNITS)[number];
  /** 0: no access. */
  readonly amount: number;
  /** 0 for concurrency. */
  readonly periodSeconds: number;
  /** Ids, aliases and patterns with `*`; empty: every model. */
  readonly models: readonly string[];
  /** Paths after /v1/; empty: every endpoint. */
  readonly endpoints: readonly Endpoint[];
  /** What it is counted for, each value of its own; empty: all together. Sorted. */
  readonly each: readonly (typeof EACH)[number][];
  /** Counted and told, never refused. */
  readonly shadow: boolean;
}

// A larger number would not be exact where it is counted.
const amount = (what: string) => z.int().min(0).optional().describe(`${what} 0 for no access.`);

const endpoint = z.enum(ENDPOINT_SPELLINGS);

const declaredSchema = z
  .strictObject({
    requests: amount('Requests in any `per`;'),
    tokens: amount('Tokens of prompt and answer together in any `per`;'),
    inputTokens: amount('Tokens of prompt in any `per`;'),
    outputTokens: amount('Tokens of answer in any `per`;'),
    concurrency: amount('Requests that run at the same time;'),
    per: z
      .enum(PERIODS)
      .optional()
      .describe('The period, which slides: never more than the limit in any such period. A month has 30 days.'),
    models: z
      .array(modelPattern())
      .min(1)
      .max(MAX_MODELS)
      .optional()
      .describe('Models that it is about, by id, alias or pattern with `*`; all when absent.'),
    model: modelPattern().optional().describe('The same for a single one.'),
    endpoints: z
      .array(endpoint)
      .min(1)
      .max(ENDPOINT_SPELLINGS.length)
      .optional()
      .describe('Endpoints that it is about, by their path after /v1/ or a short word; all when absent.'),
    endpoint: endpoint.optional().describe('The same for a single one.'),
    each: z
      .array(z.enum(EACH))
      .max(EACH.length)
      .default([])
      .describe('Counts for each consumer, end-user, model or endpoint of its own; for all together when empty.'),
    shadow: z.boolean().default(false).describe('Whether it is only counted and told, and nobody refused.'),
  })
  .check(checkLimit);

type DeclaredLimit = z.output<typeof declaredSchema>;

const limitSchema = declaredSchema.transform(limitOf);

/** The limits of something. */
export function limits() {
  return z.array(limitSchema).max(MAX_LIMITS).check(checkDistinct);
}

/** The limits of one model, which need not name it. */
export function limitsOfModel() {
  const schema = declaredSchema.check(context => {
    for (const field of ['models', 'model'] as const) {
      if (context.value[field] === undefined) continue;
      const message = `a limit of a ModelDeployment is about that model: leave \`${field}\` out`;
      context.issues.push({ code: 'custom', input: context.value, path: [field], message });
    }
  });
  return z.array(schema.transform(limitOf)).max(MAX_LIMITS).check(checkDistinct);
}

function unitsOf(limit: DeclaredLimit): LimitSpec['unit'][] {
  return UNITS.filter(unit => limit[unit] !== undefined);
}

function checkLimit(context: z.core.ParsePayload<DeclaredLimit>): void {
  if (context.issues.length > 0) return;
  const limit = context.value;
  const refuse = (path: string[], message: string) =>
    context.issues.push({ code: 'custom', input: limit, path, message });
  const [unit, ...others] = unitsOf(limit);
  if (unit === undefined) refuse([], `limits nothing: expected one of ${quotedList(UNITS, 'or')}`);
  for (const other of others)
    refuse([other], `\`${unit}\` is limited here already: make \`${other}\` a limit of its own`);
  if (unit === 'concurrency' && limit.per !== undefined) {
    refuse(['per'], '`concurrency` counts what runs at the same time: leave `per` out');
  }
  if (unit !== undefined && unit !== 'concurrency' && limit.per === undefined) {
    refuse([], `needs \`per\`: expected one of ${quotedList(PERIODS, 'or')}`);
  }
  for (const [one, many] of [
    ['model', 'models'],
    ['endpoint', 'endpoints'],
  ] as const) {
    if (limit[one] !== undefined && limit[many] !== undefined)
      refuse([one], `put it into \`${many}\`, which is there, too`);
  }
}

function limitOf(declared: DeclaredLimit): LimitSpec {
  const { per, model, models = [], endpoint, endpoints = [], each, shadow } = declared;
  const [unit = 'requests'] = unitsOf(declared);
  const named = endpoint === undefined ? endpoints : [endpoint];
  return {
    unit,
    amount: declared[unit] ?? 0,
    periodSeconds: per === undefined ? 0 : PERIOD_SECONDS[per],
    models: model === undefined ? models : [model],
    endpoints: [...new Set(named.map(endpointOf))],
    each: [...new Set(each)].sort(),
    shadow,
  };
}

/** Two that count the same would be counted by one counter; one that is only a shadow may stand beside one that is not. */
function checkDistinct(context: z.core.ParsePayload<LimitSpec[]>): void {
  if (context.issues.length > 0) return;
  const indexByScope = new Map<string, number>();
  for (const [index, { amount: _, ...limit }] of context.value.entries()) {
    const scope = JSON.stringify({ ...limit, models: limit.models.toSorted(), endpoints: limit.endpoints.toSorted() });
    const before = indexByScope.get(scope);
    if (before === undefined) indexByScope.set(scope, index);
    else {
      const message = `counts the same as limit ${before + 1} of this list: keep the one that is meant`;
      context.issues.push({ code: 'custom', input: context.value, path: [index], message });
    }
  }
}
