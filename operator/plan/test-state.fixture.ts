import { readResource } from '../../crds/read-resource.ts';
import { type ClusterState, type Declared, objectKey, type Pod } from '../source/cluster-state.ts';

type ModelDeclared = ClusterState['modelDeployments'] extends ReadonlyMap<string, infer Value> ? Value : never;
type ConsumerDeclared = ClusterState['consumers'] extends ReadonlyMap<string, infer Value> ? Value : never;
type GatewayDeclared = ClusterState['gateways'][number];

const ORIGIN = { kind: 'object', uid: 'test' } as const;

/** A ModelDeployment as users write it, for tests of the plan; one backend of pods labelled `app: <name>` unless given. */
export function modelDeployment(key: string, spec: object = {}, createdAtMs = 0): ModelDeclared {
  const { namespace, name } = split(key);
  const backends = [{ name: 'gpu', pods: { selector: { matchLabels: { app: name } }, port: 8000 } }];
  const metadata = { namespace, name };
  const { resource, problems } = readResource({
    apiVersion: 'fairlead.dev/v1alpha1',
    kind: 'ModelDeployment',
    metadata,
    spec: { backends, ...spec },
  });
  if (resource?.kind !== 'ModelDeployment') throw new Error(JSON.stringify(problems));
  return { ...metadata, generation: 1, createdAtMs, origin: ORIGIN, spec: resource.spec };
}

/** An InferenceGateway as users write it. */
export function inferenceGateway(key: string, spec: object = {}, createdAtMs = 0): GatewayDeclared {
  const metadata = split(key);
  const document = { apiVersion: 'fairlead.dev/v1alpha1', kind: 'InferenceGateway', metadata, spec };
  const { resource, problems } = readResource(document);
  if (resource?.kind !== 'InferenceGateway') throw new Error(JSON.stringify(problems));
  return { ...metadata, generation: 1, createdAtMs, origin: ORIGIN, spec: resource.spec };
}

/** A Consumer as users write it. */
export function consumer(key: string, spec: object = {}, createdAtMs = 0): ConsumerDeclared {
  const metadata = split(key);
  const { resource, problems } = readResource({
    apiVersion: 'fairlead.dev/v1alpha1',
    kind: 'Consumer',
    metadata,
    spec,
  });
  if (resource?.kind !== 'Consumer') throw new Error(JSON.stringify(problems));
  return { ...metadata, generation: 1, createdAtMs, origin: ORIGIN, spec: resource.spec };
}

/** A ready pod labelled `app: <app>`. */
export function pod(key: string, app: string, ip: string, facts: Partial<Pod> = {}): Pod {
  const common = { uid: `uid-${key}`, labels: { app }, ip, ready: true, terminating: false, ports: [] };
  return { ...split(key), ...common, ...facts };
}

/** A state of these. */
export function clusterState(
  modelDeployments: readonly ModelDeclared[] = [],
  pods: readonly Pod[] = [],
  rest: Partial<Pick<ClusterState, 'gateways' | 'closed' | 'consumers' | 'hosts' | 'secrets'>> = {},
): ClusterState {
  const nothing = { gateways: [], closed: undefined, consumers: new Map(), hosts: new Map(), secrets: new Map() };
  return { modelDeployments: byKey(modelDeployments), pods: byKey(pods), ...nothing, ...rest };
}

/** By their keys, as a state has them. */
export function byKey<Value extends Pick<Declared<unknown>, 'namespace' | 'name'>>(
  values: readonly Value[],
): Map<string, Value> {
  return new Map(values.map(value => [objectKey(value), value]));
}

function split(key: string): { namespace: string; name: string } {
  const [namespace = '', name = ''] = key.split('/');
  return { namespace, name };
}
