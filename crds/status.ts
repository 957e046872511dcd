import { z } from 'zod';

const CONDITION_STATUSES = ['True', 'False', 'Unknown'] as const;

/** Kubernetes' Condition: https://github.com/kubernetes/enhancements/tree/master/keps/sig-api-machinery/1623-standardize-conditions */
const conditionSchema = z.strictObject({
  type: z.string().max(316).describe('Accepted, BackendsResolved, ResolvedRefs, Programmed or Ready.'),
  status: z.enum(CONDITION_STATUSES).describe('Whether it holds.'),
  observedGeneration: z.int().min(0).optional().describe('The generation of the resource that this is about.'),
  lastTransitionTime: z.iso.datetime({ offset: true }).describe('When the status changed last.'),
  reason: z.string().min(1).max(1024).describe('One word for programs.'),
  message: z.string().max(32_768).describe('What it means and what to do.'),
});

const common = {
  observedGeneration: z.int().min(0).optional().describe('The generation of the resource that this is about.'),
  conditions: z.array(conditionSchema).max(8).optional().describe("Gateway API's words for how the resource is doing."),
};

/** What the operator writes about a ModelDeployment. */
export const modelStatusSchema = z.strictObject({
  ...common,
  model: z.string().optional().describe('The id that clients ask for.'),
  endpoints: z
    .strictObject({
      ready: z.int().min(0).describe('Endpoints that take new requests.'),
      total: z.int().min(0).describe('Endpoints that there are.'),
    })
    .optional()
    .describe('Endpoints over all backends.'),
  ready: z.string().optional().describe('Ready endpoints of all, as in 4/5.'),
});

/** What the operator writes about an InferenceGateway. */
export const gatewayStatusSchema = z.strictObject(common);

/** What the operator writes about a Consumer. */
export const consumerStatusSchema = z.strictObject({
  ...common,
  spend: z
    .strictObject({
      amount: z.string().describe('What was spent in the period so far, such as 12.34.'),
      currency: z.string().describe('Currency of the amounts, by its three capitals.'),
      limit: z.string().describe('What may be spent in the period.'),
      periodEnd: z.iso.datetime({ offset: true }).describe('When the next period begins.'),
    })
    .optional()
    .describe('Where it stands with its budget.'),
});

/** The status of any kind, as it stands in the API. */
export type StatusDocument = z.output<typeof modelStatusSchema> & z.output<typeof consumerStatusSchema>;
