import { createHash } from 'node:crypto';
import { type DescMessage, fromJson, type JsonValue, toBinary } from '@bufbuild/protobuf';
import { envoyRegistry } from '../../proto/envoy-registry.ts';
import { ClusterSchema } from '../../proto/gen/envoy/config/cluster/v3/cluster_pb.js';
import { ClusterLoadAssignmentSchema } from '../../proto/gen/envoy/config/endpoint/v3/endpoint_pb.js';
import { ListenerSchema } from '../../proto/gen/envoy/config/listener/v3/listener_pb.js';
import { RouteConfigurationSchema } from '../../proto/gen/envoy/config/route/v3/route_pb.js';
import { SecretSchema } from '../../proto/gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.js';

export const LISTENER_TYPE = 'type.googleapis.com/envoy.config.listener.v3.Listener';
export const ROUTE_TYPE = 'type.googleapis.com/envoy.config.route.v3.RouteConfiguration';
export const CLUSTER_TYPE = 'type.googleapis.com/envoy.config.cluster.v3.Cluster';
export const ENDPOINT_TYPE = 'type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment';
export const SECRET_TYPE = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret';

/** The kinds of resources that an Envoy is given. */
export type ResourceType =
  | typeof LISTENER_TYPE
  | typeof ROUTE_TYPE
  | typeof CLUSTER_TYPE
  | typeof ENDPOINT_TYPE
  | typeof SECRET_TYPE;

/** A resource as it goes over a stream. */
export interface EncodedResource {
  readonly name: string;
  /** Hash of the bytes: the same content has the same version, in whatever process. */
  readonly version: string;
  readonly bytes: Uint8Array;
}

const SCHEMAS: Readonly<Record<ResourceType, DescMessage>> = {
  [LISTENER_TYPE]: ListenerSchema,
  [ROUTE_TYPE]: RouteConfigurationSchema,
  [CLUSTER_TYPE]: ClusterSchema,
  [ENDPOINT_TYPE]: ClusterLoadAssignmentSchema,
  [SECRET_TYPE]: SecretSchema,
};

const encoded = new WeakMap<object, EncodedResource>();

/**
 * A resource's bytes. The same JSON object is encoded once, so that a table that changed in one place costs the
 * encoding of what that place touches.
 *
 * @throws Error when the JSON is not of that type
 */
export function encodeResource(type: ResourceType, name: string, json: object): EncodedResource {
  const known = encoded.get(json);
  if (known) return known;
  const schema = SCHEMAS[type];
  const bytes = toBinary(schema, fromJson(schema, json as JsonValue, { registry: envoyRegistry }));
  const version = createHash('sha256').update(bytes).digest('base64url').slice(0, 16);
  const resource = { name, version, bytes };
  encoded.set(json, resource);
  return resource;
}
