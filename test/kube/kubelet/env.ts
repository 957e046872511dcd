import { fieldValue, type PodFacts, resourceValue } from './downward.ts';
import type { Image } from './image.ts';
import { MissingObject, type ObjectReader } from './object-reader.ts';
import type { ContainerSpec, EnvVar } from './pod-object.ts';
import type { Service } from './service.ts';

/**
 * What a container finds in its environment: of the image, of the services, and its own, the later over the earlier.
 * @throws MissingObject when a ConfigMap or Secret, or a key of it, is not there and not optional
 */
export async function containerEnv(
  facts: PodFacts,
  container: ContainerSpec,
  image: Image,
  services: Iterable<Service>,
  reader: ObjectReader,
): Promise<ReadonlyMap<string, string>> {
  const { namespace, name } = facts.pod.metadata;
  const env = new Map(Object.entries({ HOME: '/root', HOSTNAME: name, ...image.env }));
  for (const [key, value] of serviceVariables(namespace, facts.pod.spec.enableServiceLinks !== false, services)) {
    env.set(key, value);
  }
  for (const { prefix = '', configMapRef, secretRef } of container.envFrom ?? []) {
    const data =
      (configMapRef && (await reader.data('configmaps', namespace, configMapRef))) ??
      (secretRef && (await reader.data('secrets', namespace, secretRef)));
    for (const [key, value] of data ?? []) env.set(prefix + key, value.toString());
  }
  for (const variable of container.env ?? []) {
    const value = await variableValue(facts, container, variable, env, reader);
    if (value !== undefined) env.set(variable.name, value);
  }
  return env;
}

/** Replaces each `$(NAME)` that is known, and `$$` by `$`: how command, args and env refer to the environment. */
export function expand(text: string, env: ReadonlyMap<string, string>): string {
  return text.replace(/\$(?:\$|\(([^)]*)\))/g, (whole, name: string | undefined) =>
    name === undefined ? '$' : (env.get(name) ?? whole),
  );
}

async function variableValue(
  facts: PodFacts,
  container: ContainerSpec,
  { value, valueFrom }: EnvVar,
  env: ReadonlyMap<string, string>,
  reader: ObjectReader,
): Promise<string | undefined> {
  if (valueFrom?.fieldRef) return fieldValue(facts, valueFrom.fieldRef);
  if (valueFrom?.resourceFieldRef) return resourceValue(facts, container, valueFrom.resourceFieldRef);
  const reference = valueFrom?.configMapKeyRef ?? valueFrom?.secretKeyRef;
  if (reference === undefined) return expand(value ?? '', env);
  const kind = valueFrom?.configMapKeyRef ? 'configmaps' : 'secrets';
  const data = await reader.data(kind, facts.pod.metadata.namespace, reference);
  const found = data?.get(reference.key);
  if (found === undefined && !reference.optional) {
    throw new MissingObject(`couldn't find key ${reference.key} in ${kind} ${reference.name}`);
  }
  return found?.toString();
}

/** https://kubernetes.io/docs/tutorials/services/connect-applications-service/#environment-variables */
function* serviceVariables(
  namespace: string,
  links: boolean,
  services: Iterable<Service>,
): Generator<readonly [string, string]> {
  for (const service of services) {
    const { clusterIp, ports } = service;
    const isApiServer = service.namespace === 'default' && service.name === 'kubernetes';
    if (clusterIp === undefined || !(isApiServer || (links && service.namespace === namespace))) continue;
    const prefix = service.name.toUpperCase().replaceAll('-', '_');
    yield [`${prefix}_SERVICE_HOST`, clusterIp];
    for (const [index, { name, port }] of ports.entries()) {
      if (index === 0) yield [`${prefix}_SERVICE_PORT`, String(port)];
      if (name) yield [`${prefix}_SERVICE_PORT_${name.toUpperCase().replaceAll('-', '_')}`, String(port)];
    }
  }
}
