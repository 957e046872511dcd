import { create } from '@bufbuild/protobuf';
import type { BackendSpec } from '../../crds/backend.ts';
import { durationMs } from '../../crds/duration.ts';
import { type ModelDeploymentSpec, modelId } from '../../crds/model-deployment.ts';
import { type Model, ModelSchema } from '../../proto/gen/fairlead/v1/table_pb.js';
import type { Declared } from '../source/cluster-state.ts';
import { limitMessages } from './limit-message.ts';
import { pricingMessage } from './pricing-message.ts';

/** The model as the table carries it, under the names that it was given. */
export function modelMessage(declared: Declared<ModelDeploymentSpec>, names: readonly string[]): Model {
  const { spec, name, createdAtMs } = declared;
  const { timeouts } = spec;
  return create(ModelSchema, {
    id: modelId(name, spec),
    names: [...names],
    aliases: spec.aliases,
    type: spec.type,
    version: spec.version ?? '',
    maxContextLength: spec.maxContextLength ?? 0,
    ownedBy: spec.ownedBy ?? '',
    created: Math.floor(createdAtMs / 1000),
    backends: spec.backends.map(backendMessage),
    strategy: spec.routing.strategy.replace('_', '-'),
    clientMayChoose: spec.routing.clientMayChoose,
    timeouts: {
      connectMs: durationMs(timeouts.connect),
      requestMs: durationMs(timeouts.request),
      headersMs: durationMs(timeouts.headers),
      idleMs: durationMs(timeouts.idle),
    },
    retryAttempts: spec.retries.attempts,
    limits: limitMessages(spec.limits),
    ...(spec.pricing && { pricing: pricingMessage(spec.pricing) }),
    forceUsage: spec.forceUsage,
  });
}

function backendMessage({ name, runtime, model, capacity, priority, weight }: BackendSpec) {
  const common = { name, runtime, upstreamModel: model ?? '', capacity: capacity ?? 1, priority };
  return weight === undefined ? common : { ...common, weight };
}
