import { spellPath } from '../../crds/field-problem.ts';
import type { StatusDocument } from '../../crds/status.ts';
import { type Condition, type ModelStatus, NOT_ACCEPTED, type ResourceStatus } from '../plan/resource-status.ts';
import type { RefusedResource } from '../source/kubernetes/declared-object.ts';
import type { Spend } from './spend.ts';

/** Of all problems of one resource, characters: the API server has room for 32,768. */
const MAX_PROBLEMS_CHARACTERS = 8_000;

/** A status before it is known since when its conditions hold. */
export interface Status {
  readonly observedGeneration: number;
  /** Of ModelDeployments. */
  readonly model?: string;
  readonly endpoints?: ModelStatus['endpoints'];
  /** Of Consumers. */
  readonly spend?: Spend;
  readonly conditions: readonly StatusCondition[];
}

/** A condition, and the generation that it is about. */
interface StatusCondition extends Condition {
  readonly observedGeneration: number;
}

type DocumentCondition = NonNullable<StatusDocument['conditions']>[number];

const NOT_SERVED: Condition = {
  type: 'Programmed',
  status: 'False',
  reason: NOT_ACCEPTED,
  message: 'not served: see Accepted',
};

/** Whether the plan serves a resource, so that gateways are to follow it. */
export function isAccepted({ conditions }: ResourceStatus): boolean {
  return conditions.every(({ type, status }) => type !== 'Accepted' || status === 'True');
}

/**
 * The status of a resource that could be read.
 *
 * @param programmed whether gateways follow it; undefined for one that is not served
 * @param spend where a Consumer stands with its budget, if that is to be told
 */
export function plannedStatus(
  planned: ResourceStatus | ModelStatus,
  programmed: Condition | undefined,
  spend?: Spend,
): Status {
  const { observedGeneration } = planned;
  const served = programmed ?? NOT_SERVED;
  const conditions: Condition[] = planned.conditions.map(condition =>
    condition.type === 'Ready' ? readiness(condition, served) : condition,
  );
  const beforeReady = conditions.findIndex(({ type }) => type === 'Ready');
  conditions.splice(beforeReady < 0 ? conditions.length : beforeReady, 0, served);
  const about = conditions.map(condition => ({ ...condition, observedGeneration }));
  if (!('model' in planned)) return { observedGeneration, conditions: about, ...(spend && { spend }) };
  const { model, endpoints } = planned;
  return { observedGeneration, model, endpoints, conditions: about };
}

/**
 * The status of a resource that could not be read.
 *
 * @param meanwhile what happens until it can be; empty when nothing is to be said of that
 */
export function refusedStatus({ kind, generation, problems }: RefusedResource, meanwhile = ''): Status {
  const why = problems
    .map(({ path, message }) => (path.length === 0 ? message : `${spellPath(path)}: ${message}`))
    .join('; ')
    .slice(0, MAX_PROBLEMS_CHARACTERS);
  const message = meanwhile === '' ? why : `${meanwhile}. ${why}`;
  const accepted: Condition = { type: 'Accepted', status: 'False', reason: 'Invalid', message };
  const ofModel: Condition[] = [
    { type: 'BackendsResolved', status: 'Unknown', reason: NOT_ACCEPTED, message: '' },
    NOT_SERVED,
    { type: 'Ready', status: 'False', reason: NOT_ACCEPTED, message: NOT_SERVED.message },
  ];
  const conditions = [accepted, ...(kind === 'ModelDeployment' ? ofModel : [NOT_SERVED])];
  const about = conditions.map(condition => ({ ...condition, observedGeneration: generation }));
  const status = { observedGeneration: generation, conditions: about };
  return kind === 'ModelDeployment' ? { ...status, endpoints: { ready: 0, total: 0 } } : status;
}

/**
 * The document for the API, given the one that it has: what holds since then keeps its time, anything else begins at
 * `nowMs` since the epoch. Equal to `before` when nothing is to be written.
 */
export function statusDocument(status: Status, before: StatusDocument | undefined, nowMs: number): StatusDocument {
  const { observedGeneration, model, endpoints, spend } = status;
  const now = `${new Date(nowMs).toISOString().slice(0, 19)}Z`;
  return {
    observedGeneration,
    conditions: status.conditions.map(condition => {
      const last = conditionOf(before, condition.type);
      const lastTransitionTime = last?.status === condition.status ? last.lastTransitionTime : now;
      return { ...condition, lastTransitionTime };
    }),
    ...(model !== undefined && { model }),
    ...(endpoints && { endpoints: { ...endpoints }, ready: `${endpoints.ready}/${endpoints.total}` }),
    ...(spend && { spend: { ...spend } }),
  };
}

/** A condition of a document; undefined where it has none of that type. */
export function conditionOf(
  document: StatusDocument | undefined,
  type: Condition['type'],
): DocumentCondition | undefined {
  return document?.conditions?.find(condition => condition.type === type);
}

/** Traffic needs endpoints, and gateways that took the resource; whether they are heard of does not matter. */
function readiness(ready: Condition, { status, message }: Condition): Condition {
  if (ready.status !== 'True' || status !== 'False') return ready;
  return { type: 'Ready', status: 'False', reason: 'NotProgrammed', message: `see Programmed: ${message}` };
}
