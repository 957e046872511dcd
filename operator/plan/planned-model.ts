import { type ModelDeploymentSpec, modelId } from '../../crds/model-deployment.ts';
import type { Model } from '../../proto/gen/fairlead/v1/table_pb.js';
import type { Declared } from '../source/cluster-state.ts';
import { mayHaveChanged, type PlannedBackend, planBackend, type Surroundings } from './backend-endpoints.ts';
import { modelMessage } from './model-message.ts';
import type { Claim } from './name-claims.ts';
import { conflictStatus, type ModelStatus, servedStatus } from './resource-status.ts';
import { modelWarnings, type PlanWarning } from './warnings.ts';

/** A ModelDeployment with everything that the plan says of it, and what that was made from. */
export interface PlannedModel {
  readonly declared: Declared<ModelDeploymentSpec>;
  readonly claim: Claim;
  /** Absent when its names are taken: then it is not served. */
  readonly model: Model | undefined;
  /** Empty when it is not served. */
  readonly backends: readonly PlannedBackend[];
  readonly status: ModelStatus;
  readonly warnings: readonly PlanWarning[];
}

const NOTHING: readonly never[] = Object.freeze([]);

/** Whether what was planned for a resource still holds, decided by the identity of what it was made from. */
export function isStillTrue(
  planned: PlannedModel,
  declared: Declared<ModelDeploymentSpec>,
  claim: Claim,
  around: Surroundings,
): boolean {
  if (planned.declared !== declared || planned.claim !== claim) return false;
  for (const backend of planned.backends) if (mayHaveChanged(backend, around)) return false;
  return true;
}

/** Plans one resource, using again what `before` has. */
export function planModel(
  key: string,
  declared: Declared<ModelDeploymentSpec>,
  claim: Claim,
  around: Surroundings,
  before: PlannedModel | undefined,
): PlannedModel {
  const { spec, generation, name, namespace } = declared;
  if (claim.names === undefined) {
    const status = conflictStatus(generation, modelId(name, spec), claim.conflict);
    return { declared, claim, model: undefined, backends: NOTHING, status, warnings: NOTHING };
  }
  const sameModel = before?.claim === claim && sameFacts(before.declared, declared);
  const model = (sameModel ? before.model : undefined) ?? modelMessage(declared, claim.names);
  const backends = spec.backends.map((backend, index) =>
    planBackend(backend, namespace, around, before?.backends[index]),
  );
  const sameFound =
    before !== undefined && sameModel && backends.every((b, i) => b.found === before.backends[i]?.found);
  if (sameFound && before.declared.generation === generation) {
    return { declared, claim, model, backends, status: before.status, warnings: before.warnings };
  }
  const warnings = modelWarnings(key, backends);
  const status = servedStatus(
    generation,
    modelId(name, spec),
    backends.map(({ spec: { name }, found }) => ({ name, found })),
    warnings,
    before?.status,
  );
  return { declared, claim, model, backends, status, warnings: warnings.length === 0 ? NOTHING : warnings };
}

/** Whether two declarations make the same model; where they stand does not matter. */
function sameFacts(one: Declared<ModelDeploymentSpec>, other: Declared<ModelDeploymentSpec>): boolean {
  return one.spec === other.spec && one.name === other.name && one.createdAtMs === other.createdAtMs;
}
