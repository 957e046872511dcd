import { create } from '@bufbuild/protobuf';
import type { TableDelta } from '../../agent/table/route-table.ts';
import {
  BackendSchema,
  EndpointGroupSchema,
  EndpointSchema,
  GatewaySchema,
  ModelSchema,
} from '../../proto/gen/fairlead/v1/table_pb.js';

/** A backend of the model that tests and the benchmark pick for. */
export interface SampleBackend {
  readonly name: string;
  /** How many endpoints, or their ids. */
  readonly endpoints: number | readonly string[];
  readonly capacity?: number;
  readonly priority?: number;
  readonly weight?: number;
  /** Ids of those that drain. */
  readonly draining?: readonly string[];
}

/** A table that has the model "ml/model" with the public id "model", and nothing else. */
export function oneModel(backends: readonly SampleBackend[], retryAttempts = 2): TableDelta {
  const model = create(ModelSchema, {
    id: 'model',
    names: ['model'],
    type: 'text-generation',
    retryAttempts,
    backends: backends.map(({ name, capacity = 1, priority = 0, weight }) =>
      create(BackendSchema, { name, runtime: 'vllm', capacity, priority, ...(weight !== undefined && { weight }) }),
    ),
  });
  return {
    version: '1',
    receivedAtMs: 1,
    gateway: create(GatewaySchema),
    models: [['ml/model', model]],
    removedModels: [],
    endpoints: backends.map(backend => [`ml/model/${backend.name}`, group(backend)] as const),
    removedEndpoints: [],
    consumers: [],
    removedConsumers: [],
    agents: undefined,
    limitStore: undefined,
  };
}

function group({ name, endpoints, draining = [] }: SampleBackend) {
  const ids = typeof endpoints === 'number' ? Array.from({ length: endpoints }, (_, i) => `${name}-${i}`) : endpoints;
  return create(EndpointGroupSchema, {
    endpoints: ids.map(id =>
      create(EndpointSchema, { id, address: `${id}:8000`, name: id, draining: draining.includes(id) }),
    ),
  });
}
