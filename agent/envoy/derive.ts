import type { ClusterJson } from '../../proto/gen/envoy/config/cluster/v3/cluster_pb.js';
import type { ClusterLoadAssignmentJson } from '../../proto/gen/envoy/config/endpoint/v3/endpoint_pb.js';
import type { ListenerJson } from '../../proto/gen/envoy/config/listener/v3/listener_pb.js';
import type { RouteConfigurationJson } from '../../proto/gen/envoy/config/route/v3/route_pb.js';
import type { SecretJson } from '../../proto/gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import type { EndpointGroup, Gateway, JwtIssuer, Model, Secret } from '../../proto/gen/fairlead/v1/table_pb.js';
import { routeProfile } from '../table/route-profile.ts';
import type { RouteTable } from '../table/route-table.ts';
import { modelCluster } from './cluster.ts';
import { CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE, ROUTE_TYPE, SECRET_TYPE } from './encode.ts';
import { jwksCluster, jwksClusterName } from './jwks-cluster.ts';
import { tokenIssuers } from './jwt-filter.ts';
import { gatewayListener } from './listener.ts';
import { type BackendEndpoints, loadAssignment } from './load-assignment.ts';
import { ROUTE_CONFIGURATION } from './names.ts';
import { routeConfiguration } from './routes.ts';
import type { EnvoySettings } from './settings.ts';
import { tlsCertificate } from './tls.ts';

/** Everything an Envoy serves a table with: resource type → resource name → proto-JSON. */
export interface EnvoyResources {
  readonly [LISTENER_TYPE]: ReadonlyMap<string, ListenerJson>;
  readonly [ROUTE_TYPE]: ReadonlyMap<string, RouteConfigurationJson>;
  readonly [CLUSTER_TYPE]: ReadonlyMap<string, ClusterJson>;
  readonly [ENDPOINT_TYPE]: ReadonlyMap<string, ClusterLoadAssignmentJson>;
  readonly [SECRET_TYPE]: ReadonlyMap<string, SecretJson>;
  /** Listeners that are not served, for want of their secret. */
  readonly closed: readonly ClosedListener[];
}

/** A listener as it will be once its secret is there. */
interface ClosedListener {
  readonly name: string;
  readonly json: ListenerJson;
  readonly secret: string;
}

/**
 * What Envoy is told for a table. Pure; what the table's parts (Model, EndpointGroup, Gateway: immutable values) gave
 * once is remembered with them, so a table that shares most of its parts with the last one shares most of its
 * resources, by identity.
 *
 * @param retired models of the past: routes with their timeouts are kept for requests that were picked by them
 */
export function deriveEnvoy(
  table: RouteTable,
  settings: EnvoySettings,
  retired: readonly Model[] = [],
): EnvoyResources {
  const clusters = new Map<string, ClusterJson>();
  const assignments = new Map<string, ClusterLoadAssignmentJson>();
  for (const [name, model] of table.models) {
    clusters.set(name, clusterOf(name, model));
    assignments.set(name, assignmentOf(name, model, table.endpoints));
  }
  for (const issuer of tokenIssuers(table.gateway.authentication)) {
    const cluster = jwksClusterOf(issuer, table.secrets);
    if (cluster !== undefined) clusters.set(jwksClusterName(issuer.name), cluster);
  }
  const listeners = listenersOf(table.gateway, settings);
  const closed = closedListeners(table, listeners);
  return {
    [LISTENER_TYPE]: without(closed, listeners),
    [ROUTE_TYPE]: new Map([[ROUTE_CONFIGURATION, routesOf(table, retired)]]),
    [CLUSTER_TYPE]: clusters,
    [ENDPOINT_TYPE]: assignments,
    [SECRET_TYPE]: certificatesOf(table),
    closed,
  };
}

const clusters = new WeakMap<Model, ClusterJson>();

function clusterOf(name: string, model: Model): ClusterJson {
  const known = clusters.get(model);
  if (known) return known;
  const cluster = modelCluster(name, model);
  clusters.set(model, cluster);
  return cluster;
}

interface JwksCluster {
  readonly secret: Secret | undefined;
  readonly json: ClusterJson | undefined;
}

const jwksClusters = new WeakMap<JwtIssuer, JwksCluster>();

function jwksClusterOf(issuer: JwtIssuer, secrets: ReadonlyMap<string, Secret>): ClusterJson | undefined {
  const secret = issuer.ca && secrets.get(issuer.ca.secret);
  const known = jwksClusters.get(issuer);
  if (known && known.secret === secret) return known.json;
  const json = jwksCluster(issuer, secrets);
  jwksClusters.set(issuer, { secret, json });
  return json;
}

interface Assignment {
  readonly groups: readonly (EndpointGroup | undefined)[];
  readonly json: ClusterLoadAssignmentJson;
}

const assignments = new WeakMap<Model, Assignment>();

function assignmentOf(
  name: string,
  model: Model,
  endpoints: ReadonlyMap<string, EndpointGroup>,
): ClusterLoadAssignmentJson {
  const backends: BackendEndpoints[] = model.backends.map(backend => ({
    backend: backend.name,
    group: endpoints.get(`${name}/${backend.name}`),
  }));
  const groups = backends.map(({ group }) => group);
  const known = assignments.get(model);
  if (known?.groups.every((group, index) => group === groups[index])) return known.json;
  const json = loadAssignment(name, backends);
  assignments.set(model, { groups, json });
  return json;
}

/** Left out, since an Envoy that starts would open no port at all before their secrets came. */
function closedListeners(
  { gateway, secrets }: RouteTable,
  listeners: ReadonlyMap<string, ListenerJson>,
): readonly ClosedListener[] {
  return gateway.listeners.flatMap(({ name, tls }) => {
    const json = listeners.get(name);
    return tls === undefined || json === undefined || secrets.has(tls.secret)
      ? []
      : [{ name, json, secret: tls.secret }];
  });
}

function without(
  closed: readonly ClosedListener[],
  listeners: ReadonlyMap<string, ListenerJson>,
): ReadonlyMap<string, ListenerJson> {
  if (closed.length === 0) return listeners;
  const names = new Set(closed.map(({ name }) => name));
  return new Map([...listeners].filter(([name]) => !names.has(name)));
}

const certificates = new WeakMap<Secret, SecretJson>();

function certificatesOf({ gateway, secrets }: RouteTable): ReadonlyMap<string, SecretJson> {
  const found = new Map<string, SecretJson>();
  for (const { tls } of gateway.listeners) {
    const secret = tls && secrets.get(tls.secret);
    if (tls === undefined || secret === undefined) continue;
    const json = certificates.get(secret) ?? tlsCertificate(tls.secret, secret);
    certificates.set(secret, json);
    found.set(tls.secret, json);
  }
  return found;
}

interface Listeners {
  readonly settings: EnvoySettings;
  readonly byName: ReadonlyMap<string, ListenerJson>;
}

const listeners = new WeakMap<Gateway, Listeners>();

function listenersOf(gateway: Gateway, settings: EnvoySettings): ReadonlyMap<string, ListenerJson> {
  const known = listeners.get(gateway);
  if (known?.settings === settings) return known.byName;
  const byName = new Map(gateway.listeners.map(each => [each.name, gatewayListener(each, gateway, settings)]));
  listeners.set(gateway, { settings, byName });
  return byName;
}

interface Routes {
  /** The timeouts that the models have, in no order. */
  readonly profiles: ReadonlySet<string>;
  readonly limited: boolean;
  readonly json: RouteConfigurationJson;
}

const routes = new WeakMap<Gateway, Routes>();

function routesOf(table: RouteTable, retired: readonly Model[]): RouteConfigurationJson {
  const { gateway } = table;
  const models = [...table.models.values(), ...retired];
  const profiles = new Set(models.map(routeProfile));
  const limited = isLimited(table);
  const known = routes.get(gateway);
  if (known?.limited === limited && known.profiles.symmetricDifference(profiles).size === 0) return known.json;
  const json = routeConfiguration(gateway, models, limited);
  routes.set(gateway, { profiles, limited, json });
  return json;
}

/** Whether anything in the table is limited: nobody else pays for headers that tell of limits. */
function isLimited({ gateway, models, consumers }: RouteTable): boolean {
  if (gateway.limits.length + gateway.anonymousLimits.length > 0) return true;
  return [...models.values(), ...consumers.values()].some(({ limits }) => limits.length > 0);
}
