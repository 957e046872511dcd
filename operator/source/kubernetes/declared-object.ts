import { isDeepStrictEqual } from 'node:util';
import type { ConsumerSpec } from '../../../crds/consumer.ts';
import type { FieldProblem } from '../../../crds/field-problem.ts';
import type { InferenceGatewaySpec } from '../../../crds/inference-gateway.ts';
import { API_VERSION } from '../../../crds/metadata.ts';
import type { ModelDeploymentSpec } from '../../../crds/model-deployment.ts';
import { type ReadResult, type Resource, readResource } from '../../../crds/read-resource.ts';
import type { Declared } from '../cluster-state.ts';
import type { ApiObject, Collection } from './api-object.ts';
import type { Keep } from './replica.ts';

/** A resource that cannot be served, as one that an older CustomResourceDefinition let pass. */
export interface RefusedResource {
  readonly kind: Resource['kind'];
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly generation: number;
  /** Milliseconds since the epoch. */
  readonly createdAtMs: number;
  readonly problems: readonly FieldProblem[];
}

/** A resource, or why it is none; what is served of one that is refused is as it was before. */
export type DeclaredObject<Spec> =
  | { readonly declared: Declared<Spec>; readonly refused?: never }
  | { readonly declared?: Declared<Spec>; readonly refused: RefusedResource };

const GROUP_VERSION = `/apis/${API_VERSION}`;

export const MODEL_COLLECTION: Omit<Collection, 'namespace'> = {
  groupVersion: GROUP_VERSION,
  plural: 'modeldeployments',
};

export const GATEWAY_COLLECTION: Omit<Collection, 'namespace'> = {
  groupVersion: GROUP_VERSION,
  plural: 'inferencegateways',
};

export const CONSUMER_COLLECTION: Omit<Collection, 'namespace'> = {
  groupVersion: GROUP_VERSION,
  plural: 'consumers',
};

export const keepModel: Keep<DeclaredObject<ModelDeploymentSpec>> = (object, before) => {
  const { resource, problems } = read('ModelDeployment', object);
  return resource?.kind === 'ModelDeployment'
    ? declaredObject(object, resource.spec, before)
    : refusedObject('ModelDeployment', object, problems, before);
};

/** A gateway that broke goes on as it last was good: without any, everybody might call. */
export const keepGateway: Keep<DeclaredObject<InferenceGatewaySpec>> = (object, before) => {
  const { resource, problems } = read('InferenceGateway', object);
  return resource?.kind === 'InferenceGateway'
    ? declaredObject(object, resource.spec, before)
    : keptAsBefore(refusedObject('InferenceGateway', object, problems, before), before);
};

export const keepConsumer: Keep<DeclaredObject<ConsumerSpec>> = (object, before) => {
  const { resource, problems } = read('Consumer', object);
  return resource?.kind === 'Consumer'
    ? declaredObject(object, resource.spec, before)
    : refusedObject('Consumer', object, problems, before);
};

/** Of its metadata only the name is read: an API server may have fields there that we do not know. */
function read(kind: RefusedResource['kind'], { metadata, spec }: ApiObject): ReadResult {
  const { namespace, name } = metadata;
  return readResource({ apiVersion: API_VERSION, kind, metadata: { namespace, name }, spec });
}

function declaredObject<Spec>(
  { metadata }: ApiObject,
  spec: Spec,
  before: DeclaredObject<Spec> | undefined,
): DeclaredObject<Spec> {
  const old = before?.declared;
  const declared: Declared<Spec> = {
    namespace: metadata.namespace,
    name: metadata.name,
    generation: metadata.generation ?? 0,
    createdAtMs: Date.parse(metadata.creationTimestamp),
    origin: { kind: 'object', uid: metadata.uid },
    spec: old !== undefined && isDeepStrictEqual(old.spec, spec) ? old.spec : spec,
  };
  return sameOrNew({ declared }, before);
}

function refusedObject<Spec>(
  kind: RefusedResource['kind'],
  { metadata }: ApiObject,
  problems: readonly FieldProblem[] = [],
  before: DeclaredObject<Spec> | undefined,
): DeclaredObject<Spec> {
  const { namespace, name, uid, generation = 0 } = metadata;
  const createdAtMs = Date.parse(metadata.creationTimestamp);
  return sameOrNew({ refused: { kind, namespace, name, uid, generation, createdAtMs, problems } }, before);
}

function keptAsBefore<Spec>(now: DeclaredObject<Spec>, before: DeclaredObject<Spec> | undefined): DeclaredObject<Spec> {
  const { refused } = now;
  const declared = before?.declared;
  if (refused === undefined || declared === undefined) return now;
  // Another object by that name is none that was good before.
  const isSame = declared.origin.kind === 'object' && declared.origin.uid === refused.uid;
  return isSame ? sameOrNew({ declared, refused }, before) : now;
}

function sameOrNew<Value>(value: Value, before: Value | undefined): Value {
  return before !== undefined && isDeepStrictEqual(before, value) ? before : value;
}
