import type { MetricSpec } from './metric-list.ts';

/** Every metric of ours that an operator serves on its health port; the reference in docs/ is generated from this list. */
export const OPERATOR_METRICS = {
  leader: {
    name: 'fairlead_operator_leader',
    type: 'gauge',
    labels: [],
    help: '1 for the replica that leads, 0 for others. All are 0 while nobody can renew the lease.',
  },
  tableInfo: {
    name: 'fairlead_operator_table_info',
    type: 'gauge',
    labels: ['version'],
    help: 'Always 1; `version` is that of the route table that is published.',
  },
  models: {
    name: 'fairlead_operator_models',
    type: 'gauge',
    labels: [],
    help: 'Models in the route table.',
  },
  endpoints: {
    name: 'fairlead_operator_endpoints',
    type: 'gauge',
    labels: [],
    help: 'Endpoints in the route table; a pod that serves several models counts for each.',
  },
  consumers: {
    name: 'fairlead_operator_consumers',
    type: 'gauge',
    labels: [],
    help: 'Consumers in the route table.',
  },
  budgetEvents: {
    name: 'fairlead_operator_budget_events_total',
    type: 'counter',
    labels: ['event'],
    help: 'Budgets that passed their threshold (`warning`) or were used up (`exhausted`), each once a period.',
  },
  storeFailures: {
    name: 'fairlead_operator_agents_without_limit_store',
    type: 'gauge',
    labels: [],
    help: 'Connected agents that do not reach the store of limits.',
  },
  plan: {
    name: 'fairlead_operator_plan_seconds',
    type: 'histogram',
    labels: [],
    help: 'Time from a state of the source to the route table made from it. Its count is that of plans made.',
  },
  statusWrites: {
    name: 'fairlead_operator_status_writes_total',
    type: 'counter',
    labels: ['result'],
    help: 'Statuses written to the API server. `result`: `written`, or `failed`: it is tried again.',
  },
  agents: {
    name: 'fairlead_operator_agents',
    type: 'gauge',
    labels: [],
    help: 'Agents connected to this replica.',
  },
  agentStreams: {
    name: 'fairlead_operator_agent_streams_total',
    type: 'counter',
    labels: ['result'],
    help: 'Streams of agents since this replica began to lead: `admitted`, `refused` (no good token), `deferred` (nobody could tell).',
  },
  sourceLists: {
    name: 'fairlead_operator_source_lists_total',
    type: 'counter',
    labels: ['collection'],
    help: 'Lists of a collection from the API server: one at the start, and one whenever a watch could not go on.',
  },
  sourceInterruptions: {
    name: 'fairlead_operator_source_interruptions_total',
    type: 'counter',
    labels: ['collection'],
    help: 'Lists and watches of a collection that failed. One that the API server ends in due time does not count.',
  },
} as const satisfies Record<string, MetricSpec>;
