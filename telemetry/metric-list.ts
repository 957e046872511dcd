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
