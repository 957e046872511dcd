import { create, fromBinary } from '@bufbuild/protobuf';
import {
  AuthenticationMode,
  AuthenticationSchema,
  type Consumer,
  ConsumerSchema,
  type EndpointGroup,
  EndpointGroupSchema,
  FleetSchema,
  type Gateway,
  GatewaySchema,
  type JwtIssuer,
  type Model,
  ModelSchema,
  type Secret,
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

/** A part of the table, read and found usable. */
export type TablePart =
  | { readonly kind: 'gateway'; readonly gateway: Gateway }
  | { readonly kind: 'model'; readonly name: string; readonly model: Model }
  | { readonly kind: 'endpoints'; readonly name: string; readonly group: EndpointGroup }
  | { readonly kind: 'consumer'; readonly name: string; readonly consumer: Consumer }
  | { readonly kind: 'fleet'; readonly agents: number }
  | { readonly kind: 'secret'; readonly name: string; readonly secret: Secret }
  | { readonly kind: 'version'; readonly version: string };

/** Why a resource is not used, in words for the control plane's log. */
export interface Unreadable {
  readonly kind: 'unreadable';
  readonly reason: string;
}

/**
 * Reads one resource. Limits and names are the plan's business; only what would break this node is refused: bytes that
 * are not the message, and parts that everything else here takes for granted.
 */
export function readResource(resource: Resource): TablePart | Unreadable {
  try {
    return decode(resource);
  } catch (error) {
    return unreadable(error instanceof Error ? error.message : String(error));
  }
}

function decode({ typeUrl, name, body }: Resource): TablePart | Unreadable {
  switch (typeUrl) {
    case GATEWAY_TYPE:
      return gatewayPart(name, fromBinary(GatewaySchema, body));
    case MODEL_TYPE:
      return modelPart(name, fromBinary(ModelSchema, body));
    case ENDPOINT_GROUP_TYPE:
      return endpointsPart(name, fromBinary(EndpointGroupSchema, body));
    case CONSUMER_TYPE:
      return consumerPart(name, fromBinary(ConsumerSchema, body));
    case FLEET_TYPE:
      return { kind: 'fleet', agents: Math.max(1, fromBinary(FleetSchema, body).agents) };
    case SECRET_TYPE:
      return { kind: 'secret', name, secret: fromBinary(SecretSchema, body) };
    case TABLE_VERSION_TYPE: {
      const { version } = fromBinary(TableVersionSchema, body);
      return version === '' ? unreadable('no version') : { kind: 'version', version };
    }
    default:
      return unreadable('not a part of the route table');
  }
}

function gatewayPart(name: string, gateway: Gateway): TablePart | Unreadable {
  if (name !== DEFAULT_NAME) return unreadable(`the gateway is named "${DEFAULT_NAME}"`);
  if (gateway.listeners.length === 0) return unreadable('no listener');
  // A control plane from before there was authentication says nothing of it, nor does a table that it left on a disk:
  // `none` was all there was. Everything else that is not understood lets nobody pass, so that an agent may be older
  // than its control plane; where both are upgraded apart, the gateways go last.
  gateway.authentication ??= create(AuthenticationSchema, { mode: AuthenticationMode.AUTHENTICATION_NONE });
  const { jwtIssuers } = gateway.authentication;
  if (new Set(jwtIssuers.map(({ name }) => name)).size < jwtIssuers.length)
    return unreadable('two issuers of one name');
  const wrong = jwtIssuers.find(issuer => !isUsable(issuer));
  if (wrong !== undefined) return unreadable(`issuer ${JSON.stringify(wrong.issuer)}: no name or no URL of its keys`);
  return { kind: 'gateway', gateway };
}

function isUsable({ name, jwksUrl }: JwtIssuer): boolean {
  const url = URL.parse(jwksUrl);
  return name !== '' && url !== null && /^https?:$/.test(url.protocol) && url.hostname !== '';
}

function modelPart(name: string, model: Model): TablePart | Unreadable {
  if (model.id === '' || model.names.length === 0) return unreadable('no name that clients could use');
  if (model.timeouts === undefined) return unreadable('no timeouts');
  if (new Set(model.backends.map(backend => backend.name)).size < model.backends.length) {
    return unreadable('two backends of one name');
  }
  return { kind: 'model', name, model };
}

const SHA256_BYTES = 32;

function consumerPart(name: string, consumer: Consumer): TablePart | Unreadable {
  if (consumer.apiKeys.some(({ sha256 }) => sha256.length !== SHA256_BYTES)) return unreadable('a digest of no key');
  // Otherwise a view of the whole response that it came in, which would be kept for as long, and be cloned with it.
  for (const key of consumer.apiKeys) key.sha256 = key.sha256.slice();
  return { kind: 'consumer', name, consumer };
}

/** "10.0.0.7:8000" or "[fd00::7]:8000". */
const ADDRESS = /^(\d+\.\d+\.\d+\.\d+|\[[0-9a-fA-F:.]+\]):\d+$/;

function endpointsPart(name: string, group: EndpointGroup): TablePart | Unreadable {
  const wrong = group.endpoints.find(({ id, address }) => id === '' || !ADDRESS.test(address));
  if (wrong !== undefined) return unreadable(`endpoint ${JSON.stringify(wrong.address)}: no identity or not ip:port`);
  return { kind: 'endpoints', name, group };
}

function unreadable(reason: string): Unreadable {
  return { kind: 'unreadable', reason };
}
