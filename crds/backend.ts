import { z } from 'zod';
import { hostPort, port } from './host-port.ts';
import { upstreamName } from './model-name.ts';
import { labelName } from './object-name.ts';
import { expecting } from './wording.ts';

/** The makes of model server. */
const RUNTIMES = [
  'vllm',
  'sglang',
  'tgi',
  'trtllm',
  'triton',
  'kserve-v2',
  'ollama',
  'tei',
  'openai',
  'anthropic',
  'albert',
  'custom',
] as const;

const MAX_ENDPOINTS = 1024;
const MAX_CAPACITY = 1_000_000;
const MAX_WEIGHT = 1_000_000;
const MAX_PRIORITY = 100;

const labelValue = z
  .string()
  .max(63)
  .regex(
    /^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$/,
    expecting('a label value: letters, digits, `-`, `_` and `.`'),
  );

const podsSchema = z.strictObject({
  selector: z
    .strictObject({
      matchLabels: z
        .record(z.string(), labelValue)
        .refine(labels => Object.keys(labels).length > 0, 'expected at least one label: no pod is meant by none')
        .describe('Labels that a pod must all have.'),
    })
    .describe('Which pods of the namespace run the model.'),
  port: port().describe("The model server's port in each pod."),
});

/** One group of endpoints of one make and speed. */
export const backendSchema = z
  .strictObject({
    name: labelName().describe(
      'Name of the group, unique in the resource; shown in metrics and in x-fairlead-backend.',
    ),
    runtime: z
      .enum(RUNTIMES)
      .default('custom')
      .describe('Which model server it is; `custom` for any other that speaks the OpenAI API.'),
    model: upstreamName().optional().describe("The model's name on its servers, where it differs from the public id."),
    pods: podsSchema
      .optional()
      .describe('Endpoints by pod: every ready pod that the selector matches. Either this or `endpoints`.'),
    endpoints: z
      .array(hostPort())
      .min(1)
      .max(MAX_ENDPOINTS)
      .optional()
      .describe('Endpoints by address, each host:port. Either this or `pods`.'),
    capacity: z
      .number()
      .positive()
      .max(MAX_CAPACITY)
      .optional()
      .describe('Speed of one endpoint relative to the other backends: 2 takes twice the load of 1.'),
    priority: z
      .int()
      .min(0)
      .max(MAX_PRIORITY)
      .default(0)
      .describe('Lower is used first; the next takes over when no endpoint of a lower one can be used.'),
    weight: z
      .int()
      .min(0)
      .max(MAX_WEIGHT)
      .optional()
      .describe('Share of the requests among the backends of one priority, as in a canary; by capacity when absent.'),
  })
  .check(context => {
    const { pods, endpoints } = context.value;
    if (context.issues.length > 0 || (pods === undefined) !== (endpoints === undefined)) return;
    const message =
      pods === undefined ? 'needs either `pods` or `endpoints`' : 'has both `pods` and `endpoints`: one must go';
    const path = pods === undefined ? [] : ['endpoints'];
    context.issues.push({ code: 'custom', input: context.value, path, message });
  });

/** A backend as the resource declares it, defaults filled in. */
export type BackendSpec = z.output<typeof backendSchema>;

/** Rules that join the backends of one model. */
export function checkBackends(context: z.core.ParsePayload<BackendSpec[]>): void {
  const backends = context.value;
  const refuse = (path: (string | number)[], message: string) =>
    context.issues.push({ code: 'custom', input: backends, path, message });
  const indexByName = new Map<string, number>();
  const indexesByPriority = new Map<number, number[]>();
  for (const [index, { name, priority }] of backends.entries()) {
    const before = indexByName.get(name);
    if (before !== undefined) refuse([index, 'name'], `\`${name}\` is already the name of backends[${before}]`);
    else indexByName.set(name, index);
    indexesByPriority.set(priority, [...(indexesByPriority.get(priority) ?? []), index]);
  }
  for (const [priority, indexes] of indexesByPriority) {
    const weightless = indexes.filter(index => backends[index]?.weight === undefined);
    const [first] = weightless;
    if (first !== undefined && weightless.length < indexes.length) {
      refuse([first], `has no \`weight\`, but others of priority ${priority} do: give all of them one, or none`);
    }
    const [last] = indexes.slice(-1);
    if (last !== undefined && indexes.every(index => backends[index]?.weight === 0)) {
      refuse([last, 'weight'], `every backend of priority ${priority} has weight 0: at least one must have more`);
    }
  }
}
