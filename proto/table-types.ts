import {
  ConsumerSchema,
  EndpointGroupSchema,
  FleetSchema,
  GatewaySchema,
  ModelSchema,
  SecretSchema,
} from './gen/fairlead/v1/table_pb.js';
import { TableVersionSchema } from './gen/fairlead/v1/table_version_pb.js';

const PREFIX = 'type.googleapis.com/';

/** Types of the resources that a route table consists of. */
export const GATEWAY_TYPE = `${PREFIX}${GatewaySchema.typeName}`;
export const MODEL_TYPE = `${PREFIX}${ModelSchema.typeName}`;
export const ENDPOINT_GROUP_TYPE = `${PREFIX}${EndpointGroupSchema.typeName}`;
export const CONSUMER_TYPE = `${PREFIX}${ConsumerSchema.typeName}`;
/** How many agents share what is limited. */
export const FLEET_TYPE = `${PREFIX}${FleetSchema.typeName}`;
/** Kept in memory only, at both ends. */
export const SECRET_TYPE = `${PREFIX}${SecretSchema.typeName}`;
/** Arrives after every other change of its version: what an agent then holds is that version, whole. */
export const TABLE_VERSION_TYPE = `${PREFIX}${TableVersionSchema.typeName}`;

/** Name of the one Gateway, the one Fleet and the one TableVersion. */
export const DEFAULT_NAME = 'default';
