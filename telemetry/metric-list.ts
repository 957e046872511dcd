/** One metric as users see it. */
export interface MetricSpec {
  readonly name: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly labels: readonly string[];
  readonly help: string;
}

/** Every metric that a node serves on its admin port; the reference in docs/ is generated from this list. */
export const METRICS = {
  requests: {
    name: 'fairlead_requests_total',
    type: 'counter',
    labels: ['model', 'backend', 'code'],
    help:
      'Requests that ended. `code` is the HTTP status of an answer, or the code of the error that the gateway made ' +
      'instead of one; `no_record` where Envoy never said. `model` is empty where none was found.',
  },
  tokens: {
    name: 'fairlead_tokens_total',
    type: 'counter',
    labels: ['model', 'kind'],
    help: 'Tokens processed, as answers reported them, else estimated. `kind`: `prompt` or `completion`.',
  },
  inFlight: {
    name: 'fairlead_in_flight',
    type: 'gauge',
    labels: ['model'],
    help: 'Requests that were sent to an endpoint and have not ended.',
  },
  pick: {
    name: 'fairlead_pick_seconds',
    type: 'histogram',
    labels: [],
    help: 'Time from a complete request to the choice of its endpoint.',
  },
  settlements: {
    name: 'fairlead_settlements_total',
    type: 'counter',
    labels: ['kind'],
    help:
      'Where the token counts of ended requests came from: `usage` (the answer), `estimate` (its size), `nothing` ' +
      '(none were generated), `no_record` (Envoy did not report in time: a forecast), `late` (it did afterwards), ' +
      '`unknown` (a report on a request of the process before).',
  },
  consumerRequests: {
    name: 'fairlead_consumer_requests_total',
    type: 'counter',
    labels: ['consumer'],
    help:
      'Requests of a consumer that were sent to an endpoint and settled. Beyond a thousand consumers the rest are ' +
      'counted as `other`.',
  },
  consumerTokens: {
    name: 'fairlead_consumer_tokens_total',
    type: 'counter',
    labels: ['consumer', 'kind'],
    help: 'Tokens that a consumer used. `kind`: `input` or `output`.',
  },
  consumerCost: {
    name: 'fairlead_consumer_cost_total',
    type: 'counter',
    labels: ['consumer', 'currency'],
    help: 'What a consumer’s requests cost, in units of the currency. For alerts; `/v1/usage` is exact.',
  },
  limitChecks: {
    name: 'fairlead_limit_checks_total',
    type: 'counter',
    labels: ['scope', 'limit', 'outcome'],
    help:
      'Requests by what a limit did to them. `scope`: whose limit it is (`consumer`, `anonymous`, `model`, `gateway`); ' +
      '`outcome`: `admitted`, `refused`, or `shadowed` for those that a shadow limit would have refused.',
  },
  budgetUsed: {
    name: 'fairlead_budget_used_ratio',
    type: 'gauge',
    labels: ['consumer'],
    help: 'Share of the budget that is spent or reserved, 1 being all; only of consumers at their `warnAt` or above.',
  },
  storeUp: {
    name: 'fairlead_limit_store_up',
    type: 'gauge',
    labels: [],
    help: '1 while the shared store of limits is asked, 0 while `onStoreFailure` holds. Only where there is one.',
  },
  storeFailures: {
    name: 'fairlead_limit_store_failures_total',
    type: 'counter',
    labels: [],
    help: 'Times that the shared store of limits was given up until it answered again. Only where there is one.',
  },
  withoutStore: {
    name: 'fairlead_requests_without_store_total',
    type: 'counter',
    labels: [],
    help: 'Requests that were decided on by `onStoreFailure`. Only where limits have a shared store.',
  },
  storeDropped: {
    name: 'fairlead_limit_store_dropped_total',
    type: 'counter',
    labels: [],
    help:
      'Settlements, and amounts of usage, that never reached the shared store of limits, as it was away for too long. ' +
      'Only where there is one.',
  },
  tableInfo: {
    name: 'fairlead_table_info',
    type: 'gauge',
    labels: ['version'],
    help: 'Always 1; `version` is that of the route table in use.',
  },
  tableAge: {
    name: 'fairlead_table_age_seconds',
    type: 'gauge',
    labels: [],
    help: 'Time since the route table in use was received. It grows while nothing changes.',
  },
  endpointInFlight: {
    name: 'fairlead_endpoint_in_flight',
    type: 'gauge',
    labels: ['endpoint', 'address'],
    help:
      'Requests in flight at an endpoint, which no `endpoint` names once no model lists it. Only where the gateway ' +
      'sets `admin.endpointLabels`.',
  },
  endpointTokens: {
    name: 'fairlead_endpoint_tokens',
    type: 'gauge',
    labels: ['endpoint', 'address'],
    help: 'Tokens of an endpoint that the throughput strategy counts. Only where the gateway sets `admin.endpointLabels`.',
  },
  endpointUsable: {
    name: 'fairlead_endpoint_usable',
    type: 'gauge',
    labels: ['endpoint', 'address'],
    help: '1 for an endpoint that is picked, 0 for one draining or ejected. Only where the gateway sets `admin.endpointLabels`.',
  },
} as const satisfies Record<string, MetricSpec>;
