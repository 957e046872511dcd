import { KubeConfig } from '@kubernetes/client-node';
import { customResourceDefinitions } from '../../crds/custom-resource-definition.ts';
import { kubeConfigAccess } from '../../operator/api/api-access.ts';
import { ApiConnection } from '../../operator/api/api-connection.ts';
import type { Cluster } from './cluster.ts';

type Fields = Readonly<Record<string, unknown>>;

/** The API server as its administrator reaches it; at another address when one is given. */
export function apiOf(cluster: Cluster, server = cluster.server, idleMs?: number): ApiConnection {
  return new ApiConnection(kubeConfigAccess(kubeConfigOf(cluster, server)), idleMs);
}

/** How to reach a cluster, at another address of it when one is given. */
export function kubeConfigOf(cluster: Cluster, server = cluster.server): KubeConfig {
  const kubeConfig = new KubeConfig();
  kubeConfig.loadFromFile(cluster.kubeconfig);
  kubeConfig.clusters = kubeConfig.clusters.map(one => ({ ...one, server }));
  return kubeConfig;
}

/** Writes objects to a cluster as its users and kubelets do. */
export class ApiObjects {
  readonly #cluster: Cluster;

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
  }

  /** Our CustomResourceDefinitions, and these namespaces. */
  async prepare(...namespaces: readonly string[]): Promise<void> {
    const definitions = [...customResourceDefinitions().values()].map(definition => JSON.stringify(definition));
    await this.#cluster.kubectl(['apply', '-f', '-'], definitions.join('\n'));
    await this.#cluster.kubectl(['wait', '--for=condition=Established', 'crd', '--all']);
    for (const namespace of namespaces) await this.#cluster.kubectl(['create', 'namespace', namespace]);
  }

  /** Several at once are one call. */
  async apply(...documents: readonly Fields[]): Promise<void> {
    await this.#cluster.kubectl(['apply', '-f', '-'], documents.map(document => JSON.stringify(document)).join('\n'));
  }

  /** A pod bound to a node that nobody looks after: it stays as it is told to be. */
  async createPod(namespace: string, name: string, labels: Fields = {}): Promise<void> {
    await this.apply(podDocument(namespace, name, labels));
  }

  /** What a kubelet says of a pod. */
  async podStatus(namespace: string, name: string, ip: string, ready: boolean, phase = 'Running'): Promise<void> {
    const conditions = [{ type: 'Ready', status: ready ? 'True' : 'False' }];
    const patch = JSON.stringify({ status: { phase, podIP: ip, podIPs: [{ ip }], conditions } });
    const pod = ['pod', name, '-n', namespace];
    await this.#cluster.kubectl(['patch', ...pod, '--subresource=status', '--type=merge', '-p', patch]);
  }

  /** With a grace, a pod stays as one on its way out, since no kubelet ends it. */
  async deletePod(namespace: string, name: string, grace: 'now' | 'graceful'): Promise<void> {
    const how = grace === 'now' ? ['--grace-period=0', '--force'] : [];
    await this.#cluster.kubectl(['delete', 'pod', name, '-n', namespace, '--wait=false', '--ignore-not-found', ...how]);
  }

  async delete(kind: string, namespace: string, name: string): Promise<void> {
    await this.#cluster.kubectl(['delete', kind, name, '-n', namespace, '--ignore-not-found']);
  }
}

function podDocument(namespace: string, name: string, labels: Fields): Fields {
  const containers = [{ name: 'vllm', image: 'vllm', ports: [{ containerPort: 8_000 }] }];
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { namespace, name, labels },
    spec: { nodeName: 'node', containers },
  };
}

/** One backend of pods labelled `app: <name>`, unless the spec says otherwise. */
export function modelDocument(namespace: string, name: string, spec: Fields = {}): Fields {
  const backends = [{ name: 'gpu', pods: { selector: { matchLabels: { app: name } }, port: 8_000 } }];
  return {
    apiVersion: 'fairlead.dev/v1alpha1',
    kind: 'ModelDeployment',
    metadata: { namespace, name },
    spec: { backends, ...spec },
  };
}
