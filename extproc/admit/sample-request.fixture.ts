import { create, type MessageInitShape } from '@bufbuild/protobuf';
import {
  ConsumerSchema,
  GatewaySchema,
  type Limit,
  LimitSchema,
  LimitUnit,
  ModelSchema,
} from '../../proto/gen/fairlead/v1/table_pb.js';
import { anonymous, type Caller, callerOf } from '../identity/caller.ts';
import { consumerEntry } from '../identity/consumer-entry.ts';
import type { ModelEntry } from '../models/model-index.ts';
import { INFERENCE_ENDPOINTS, type InferenceEndpoint } from '../request/endpoints.ts';
import type { AdmissionRequest } from './admission.ts';

const UNITS = {
  requests: LimitUnit.LIMIT_REQUESTS,
  tokens: LimitUnit.LIMIT_TOKENS,
  inputTokens: LimitUnit.LIMIT_INPUT_TOKENS,
  outputTokens: LimitUnit.LIMIT_OUTPUT_TOKENS,
  concurrency: LimitUnit.LIMIT_CONCURRENCY,
};

/** So many a minute, but for concurrency. */
export function limit(
  unit: keyof typeof UNITS,
  amount: number,
  more: Omit<MessageInitShape<typeof LimitSchema>, '$typeName'> = {},
): Limit {
  const periodSeconds = unit === 'concurrency' ? 0 : 60;
  return create(LimitSchema, { unit: UNITS[unit], amount: BigInt(amount), periodSeconds, ...more });
}

/** A consumer "ml/<name>". */
export function consumer(
  name: string,
  config: Omit<MessageInitShape<typeof ConsumerSchema>, '$typeName'>,
  user = '',
): Caller {
  const entry = consumerEntry(`ml/${name}`, create(ConsumerSchema, { names: [name, `ml/${name}`], ...config }));
  return callerOf(entry, user);
}

/** A model "ml/<id>". */
export function model(id: string, config: Omit<MessageInitShape<typeof ModelSchema>, '$typeName'> = {}): ModelEntry {
  const made = create(ModelSchema, { id, names: [id], type: 'text-generation', ...config });
  return { key: `ml/${id}`, model: made, backends: [], routeProfile: '' };
}

export function endpointAt(path: string): InferenceEndpoint {
  const found = INFERENCE_ENDPOINTS.find(endpoint => endpoint.path === `/v1/${path}`);
  if (found === undefined) throw new Error(`no endpoint ${path}`);
  return found;
}

/** A chat of 400 bytes (100 tokens) to llama, with an answer of at most 100 tokens; anonymous. */
export function request(config: Partial<AdmissionRequest> = {}): AdmissionRequest {
  return {
    caller: anonymous(''),
    entry: model('llama'),
    endpoint: endpointAt('chat/completions'),
    gateway: create(GatewaySchema),
    body: new Uint8Array(400),
    facts: {
      model: undefined,
      stream: false,
      maxOutputTokens: 100,
      answers: 1,
      streamOptions: undefined,
      file: undefined,
      insertion: { kind: 'json', at: 1, comma: true },
    },
    ...config,
  };
}
