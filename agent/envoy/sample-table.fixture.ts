import { create, type MessageInitShape } from '@bufbuild/protobuf';
import {
  AuthenticationMode,
  AuthenticationSchema,
  EndpointGroupSchema,
  GatewaySchema,
  ModelSchema,
  SecretSchema,
} from '../../proto/gen/fairlead/v1/table_pb.js';
import type { RouteTable } from '../table/route-table.ts';

type GatewayInit = MessageInitShape<typeof GatewaySchema>;

/** A model by its resource name, with the endpoints of its backends: [address, pod name] pairs. */
export interface SampleModel {
  readonly timeouts?: Partial<typeof SAMPLE_TIMEOUTS>;
  readonly retryAttempts?: number;
  readonly backends: Readonly<Record<string, readonly (readonly [address: string, pod: string])[]>>;
}

export const SAMPLE_TIMEOUTS = { connectMs: 5_000, requestMs: 600_000, headersMs: 60_000, idleMs: 60_000 };

/** A route table for tests: what is not said is usual. */
export function sampleTable(
  models: Readonly<Record<string, SampleModel>>,
  gateway: GatewayInit = {},
  secrets: Readonly<Record<string, Readonly<Record<string, string>>>> = {},
): RouteTable {
  const named = Object.entries(models);
  return {
    version: '1-test',
    gateway: create(GatewaySchema, {
      listeners: [{ name: 'http', address: '127.0.0.1', port: 8888 }],
      maxBodyBytes: 33_554_432,
      modelHeaders: ['x-model', 'model'],
      clientHeadersMs: 10_000,
      clientUploadMs: 60_000,
      authentication: create(AuthenticationSchema, { mode: AuthenticationMode.AUTHENTICATION_NONE }),
      ...gateway,
    }),
    models: new Map(named.map(([name, sample]) => [name, sampleModel(name, sample)])),
    endpoints: new Map(named.flatMap(([name, { backends }]) => groups(name, backends))),
    consumers: new Map(),
    agents: 1,
    secrets: new Map(Object.entries(secrets).map(([name, data]) => [name, sampleSecret(data)])),
  };
}

function sampleModel(name: string, { timeouts, retryAttempts, backends }: SampleModel) {
  return create(ModelSchema, {
    id: name,
    names: [name],
    timeouts: timeouts ?? SAMPLE_TIMEOUTS,
    retryAttempts: retryAttempts ?? 2,
    backends: Object.keys(backends).map(backend => ({ name: backend, runtime: 'vllm' })),
  });
}

function groups(name: string, backends: SampleModel['backends']) {
  return Object.entries(backends).map(([backend, endpoints]) => {
    const group = create(EndpointGroupSchema, {
      endpoints: endpoints.map(([address, pod]) => ({ address, id: address, name: pod })),
    });
    return [`${name}/${backend}`, group] as const;
  });
}

function sampleSecret(data: Readonly<Record<string, string>>) {
  const bytes = Object.entries(data).map(([key, text]) => [key, new Uint8Array(Buffer.from(text))]);
  return create(SecretSchema, { data: Object.fromEntries(bytes) });
}
