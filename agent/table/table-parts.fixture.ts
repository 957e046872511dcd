import { create, toBinary } from '@bufbuild/protobuf';
import {
  ConsumerSchema,
  EndpointGroupSchema,
  FleetSchema,
  GatewaySchema,
  ModelSchema,
  SecretSchema,
} from '../../proto/gen/fairlead/v1/table_pb.js';
import { TableVersionSchema } from '../../proto/gen/fairlead/v1/table_version_pb.js';
import {
  CONSUMER_TYPE,
  DEFAULT_NAME,
  ENDPOINT_GROUP_TYPE,
  FLEET_TYPE,
  GATEWAY_TYPE,
  MODEL_TYPE,
  SECRET_TYPE,
  TABLE_VERSION_TYPE,
} from '../../proto/table-types.ts';
import type { Resource } from '../../xds/resource.ts';

/** Parts of a table as a control plane sends them, for tests. The version of each is part of its content. */
export function gatewayPart(version: string, ...tlsSecrets: string[]): Resource {
  const tls = tlsSecrets.map((secret, index) => ({ name: `tls-${index}`, port: 8443 + index, tls: { secret } }));
  const listeners = [{ name: version, address: '0.0.0.0', port: 8888 }, ...tls];
  const body = toBinary(GatewaySchema, create(GatewaySchema, { listeners }));
  return { typeUrl: GATEWAY_TYPE, name: DEFAULT_NAME, version, body };
}

export function modelPart(name: string, version: string, ...backends: string[]): Resource {
  const named = backends.map(backend => ({ name: backend }));
  const message = create(ModelSchema, { id: name, names: [name], version, timeouts: {}, backends: named });
  return { typeUrl: MODEL_TYPE, name, version, body: toBinary(ModelSchema, message) };
}

export function endpointsPart(name: string, ...addresses: string[]): Resource {
  const endpoints = addresses.map(address => ({ address, id: address }));
  const body = toBinary(EndpointGroupSchema, create(EndpointGroupSchema, { endpoints }));
  return { typeUrl: ENDPOINT_GROUP_TYPE, name, version: addresses.join(), body };
}

/** A consumer with one API key, of which only the digest is told. */
export function consumerPart(name: string, version: string, sha256 = new Uint8Array(32).fill(7)): Resource {
  const message = create(ConsumerSchema, { names: [name], apiKeys: [{ name: 'key', sha256 }] });
  return { typeUrl: CONSUMER_TYPE, name, version, body: toBinary(ConsumerSchema, message) };
}

export function fleetPart(agents: number): Resource {
  const body = toBinary(FleetSchema, create(FleetSchema, { agents }));
  return { typeUrl: FLEET_TYPE, name: DEFAULT_NAME, version: String(agents), body };
}

export function secretPart(name: string, value: string): Resource {
  const data = { 'tls.key': new Uint8Array(Buffer.from(value)) };
  return { typeUrl: SECRET_TYPE, name, version: value, body: toBinary(SecretSchema, create(SecretSchema, { data })) };
}

export function versionPart(version: string): Resource {
  const body = toBinary(TableVersionSchema, create(TableVersionSchema, { version }));
  return { typeUrl: TABLE_VERSION_TYPE, name: DEFAULT_NAME, version, body };
}

/** Bytes that no protobuf message has. */
export const GARBAGE = Uint8Array.of(0xff, 0xff, 0xff);
