import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import type { MethodDefinition } from '@grpc/grpc-js';
import {
  type DeltaDiscoveryRequest,
  DeltaDiscoveryRequestSchema,
  type DeltaDiscoveryResponse,
  DeltaDiscoveryResponseSchema,
} from '../proto/gen/envoy/service/discovery/v3/discovery_pb.js';
import type { Resource } from './resource.ts';

const DELTA_PATH = '/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources';

/** The delta ADS method as a client sees it: typed messages both ways. */
export const deltaClientMethod: MethodDefinition<DeltaDiscoveryRequest, DeltaDiscoveryResponse> = {
  path: DELTA_PATH,
  requestStream: true,
  responseStream: true,
  requestSerialize: request => Buffer.from(toBinary(DeltaDiscoveryRequestSchema, request)),
  requestDeserialize: bytes => fromBinary(DeltaDiscoveryRequestSchema, bytes),
  responseSerialize: response => Buffer.from(toBinary(DeltaDiscoveryResponseSchema, response)),
  responseDeserialize: bytes => fromBinary(DeltaDiscoveryResponseSchema, bytes),
};

/** The same method as the server sees it: responses are put together from resources encoded before. */
export const deltaServerMethod: MethodDefinition<DeltaDiscoveryRequest, Buffer> = {
  ...deltaClientMethod,
  responseSerialize: bytes => bytes,
  responseDeserialize: bytes => bytes,
};

/** `resource` as one element of DeltaDiscoveryResponse.resources, tag and length included: encoded once for all clients. */
export function encodeResource(resource: Resource): Uint8Array {
  const any = new BinaryWriter()
    .tag(1, WireType.LengthDelimited)
    .string(resource.typeUrl)
    .tag(2, WireType.LengthDelimited)
    .bytes(resource.body)
    .finish();
  const element = new BinaryWriter()
    .tag(1, WireType.LengthDelimited)
    .string(resource.version)
    .tag(2, WireType.LengthDelimited)
    .bytes(any)
    .tag(3, WireType.LengthDelimited)
    .string(resource.name)
    .finish();
  return new BinaryWriter().tag(2, WireType.LengthDelimited).bytes(element).finish();
}

/** A DeltaDiscoveryResponse; `resources` are encoded already by `encodeResource`. */
export function encodeResponse(response: {
  readonly typeUrl: string;
  readonly nonce: string;
  readonly systemVersion: string;
  readonly resources: readonly Uint8Array[];
  readonly removed: readonly string[];
}): Buffer {
  const rest = toBinary(
    DeltaDiscoveryResponseSchema,
    create(DeltaDiscoveryResponseSchema, {
      systemVersionInfo: response.systemVersion,
      typeUrl: response.typeUrl,
      nonce: response.nonce,
      removedResources: [...response.removed],
    }),
  );
  // Fields may come in any order on the wire, and a repeated field is what its elements add up to.
  return Buffer.concat([rest, ...response.resources]);
}
