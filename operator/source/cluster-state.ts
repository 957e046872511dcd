import type { ConsumerSpec } from '../../crds/consumer.ts';
import type { InferenceGatewaySpec } from '../../crds/inference-gateway.ts';
import type { ModelDeploymentSpec } from '../../crds/model-deployment.ts';

/** Everything that the plan is made from: plain data, replaced and never changed in place. */
export interface ClusterState {
  /** By `objectKey`. */
  readonly modelDeployments: ReadonlyMap<string, Declared<ModelDeploymentSpec>>;
  /** Usually one or none. */
  readonly gateways: readonly Declared<InferenceGatewaySpec>[];
  /** Set when nobody may call, whatever `gateways` say. */
  readonly closed: ClosedGateway | undefined;
  /** By `objectKey`. */
  readonly consumers: ReadonlyMap<string, Declared<ConsumerSpec>>;
  /** By `objectKey`. Pods that have ended are not among them. */
  readonly pods: ReadonlyMap<string, Pod>;
  /** What became of each host name that an endpoint names; absent while it is being looked up for the first time. */
  readonly hosts: ReadonlyMap<string, HostAddress>;
  /** The Secrets that resources refer to, by `objectKey`; absent while one could not be read yet. */
  readonly secrets: ReadonlyMap<string, SecretContent>;
}

/**
 * A resource as somebody declared it. While the spec says the same, `spec` stays the same object, whatever happens to
 * the rest: what depends on it alone need not be made again.
 */
export interface Declared<Spec> {
  readonly namespace: string;
  readonly name: string;
  /** Rises with every change of the spec. */
  readonly generation: number;
  /** Milliseconds since the epoch; between two that claim one name the older wins. */
  readonly createdAtMs: number;
  readonly origin: Origin;
  readonly spec: Spec;
}

/** Where a resource was declared. */
export type Origin = FileOrigin | { readonly kind: 'object'; readonly uid: string };

/** An InferenceGateway that nobody knows how to serve: who may call is not known, so that nobody may. */
export interface ClosedGateway {
  /** It cannot be read and never could be, or asked who calls and is gone, and no other took its place. */
  readonly why: 'refused' | 'gone';
  /** "<namespace>/<name>"; empty where not even that can be read. */
  readonly key: string;
  readonly origin: Origin;
}

/** A place in a file; line and column count from 1. */
export interface FileOrigin {
  readonly kind: 'file';
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

/** The part of a pod that routing needs. Replaced when any of it changes. */
export interface Pod {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Absent until the pod has one. */
  readonly ip: string | undefined;
  readonly ready: boolean;
  /** On its way out: no new requests, running ones go on. */
  readonly terminating: boolean;
  /** Ports that its containers declare; none declared means nothing is known. */
  readonly ports: readonly number[];
}

/** The address of a host name, or why it has none. */
export type HostAddress =
  | { readonly ip: string; readonly failure?: never }
  | { readonly ip?: never; readonly failure: string };

/** What a Secret holds of the keys that are used, or why there is nothing. Replaced when any of it changes. */
export type SecretContent =
  | { readonly data: Readonly<Record<string, Uint8Array>>; readonly failure?: never }
  | { readonly data?: never; readonly failure: string };

/** How resources are told apart within their kind: "<namespace>/<name>". */
export function objectKey(object: { readonly namespace: string; readonly name: string }): string {
  return `${object.namespace}/${object.name}`;
}

/** Whether two states have the same objects as their parts. */
export function sameState(one: ClusterState, other: ClusterState): boolean {
  return (
    one.modelDeployments === other.modelDeployments &&
    one.gateways === other.gateways &&
    one.closed === other.closed &&
    one.consumers === other.consumers &&
    one.pods === other.pods &&
    one.hosts === other.hosts &&
    one.secrets === other.secrets
  );
}
