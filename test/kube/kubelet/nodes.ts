import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ApiConnection } from '../../../operator/api/api-connection.ts';
import type { ApiObject } from '../../../operator/source/kubernetes/api-object.ts';
import { followCollection } from '../../../operator/source/kubernetes/list-watch.ts';
import { type Keep, Replica } from '../../../operator/source/kubernetes/replica.ts';
import type { Cluster } from '../cluster.ts';
import type { Images } from './image.ts';
import { KubeNode } from './node.ts';
import { logDirectory } from './pod-worker.ts';
import { readService, readSlice, type Service, type Slice } from './service.ts';
import { ServiceProxy } from './service-proxy.ts';

export interface NodesOptions {
  readonly names: readonly string[];
  readonly images: Images;
  /** Factor on the periods and initial delays of probes. */
  readonly probePeriodScale: number;
}

/** The nodes of a test cluster, their kubelets and the proxy of its Services, in this process. */
export class Nodes {
  readonly #directory: string;
  readonly #nodes: readonly KubeNode[];
  readonly #stopping = new AbortController();
  readonly #proxy = new ServiceProxy();
  readonly #services = new Replica<Service>(readService);
  readonly #slices = new Replica<Slice>(readSlice);

  private constructor(cluster: Cluster, { names, ...options }: NodesOptions) {
    const { directory } = cluster;
    const api = new ApiConnection(cluster.access());
    this.#directory = directory;
    const services = () => this.#services.values.values();
    const slices = () => this.#slices.values.values();
    this.#nodes = names.map(
      (name, index) => new KubeNode(name, index + 1, { ...options, api, directory, services, slices }),
    );
    this.#follow(api, '/api/v1', 'services', this.#services, () => this.#servicesChanged());
    this.#follow(api, '/apis/discovery.k8s.io/v1', 'endpointslices', this.#slices, () => this.#servicesChanged());
    for (const kind of ['configmaps', 'secrets'] as const) {
      const versions = new Replica<string>(readVersion);
      let before: ReadonlyMap<string, string> = new Map();
      this.#follow(api, '/api/v1', kind, versions, () => {
        const now = versions.values;
        for (const key of new Set([...before.keys(), ...now.keys()])) {
          if (before.get(key) !== now.get(key)) this.#objectChanged(kind, key);
        }
        before = now;
      });
    }
  }

  /** Nodes that are Ready. @throws Error when the API server does not take them */
  static async start(cluster: Cluster, options: NodesOptions): Promise<Nodes> {
    const nodes = new Nodes(cluster, options);
    for (const node of nodes.#nodes) {
      await node.register();
      node.follow(nodes.#stopping.signal);
    }
    return nodes;
  }

  /** All that the container of a pod printed, also of pods that are gone, the last one of this name at the end. */
  logs(namespace: string, pod: string, container: string): string {
    const directory = logDirectory(this.#directory, namespace, pod);
    const files = readdirSync(directory).filter(file => file.startsWith(`${container}.`));
    return files.map(file => readFileSync(join(directory, file), 'utf8')).join('');
  }

  /** Ends a container hard, as when it ran out of memory. @throws Error when there is none such */
  crash(namespace: string, pod: string, container: string): void {
    const workers = this.#nodes.flatMap(node => [...node.workers]);
    const worker = workers.find(worker => worker.namespace === namespace && worker.name === pod);
    if (worker === undefined) throw new Error(`no node runs pod ${namespace}/${pod}`);
    worker.crash(container);
  }

  /** Ends all that runs on them; no object hears of it. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#proxy.stop();
    await Promise.all(this.#nodes.flatMap(node => [...node.workers].map(worker => worker.abandon())));
  }

  #follow<Value>(
    api: ApiConnection,
    groupVersion: string,
    plural: string,
    replica: Replica<Value>,
    onChange: () => void,
  ) {
    const collection = { groupVersion, plural, namespace: undefined };
    followCollection({ api, collection, replica, signal: this.#stopping.signal, onChange, onEvent: () => {} });
  }

  #servicesChanged(): void {
    this.#proxy.update(this.#services.values.values(), this.#slices.values.values());
    for (const node of this.#nodes) for (const worker of node.workers) worker.servicesChanged();
  }

  #objectChanged(kind: string, key: string): void {
    const [namespace, name = ''] = key.split('/');
    for (const node of this.#nodes) {
      for (const worker of node.workers) if (worker.namespace === namespace) worker.objectChanged(kind, name);
    }
  }
}

const readVersion: Keep<string> = ({ metadata }: ApiObject) => metadata.resourceVersion;
