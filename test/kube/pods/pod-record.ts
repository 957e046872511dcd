import { ApiConnection } from '../../../operator/api/api-connection.ts';
import type { ApiObject } from '../../../operator/source/kubernetes/api-object.ts';
import { followCollection } from '../../../operator/source/kubernetes/list-watch.ts';
import { Replica } from '../../../operator/source/kubernetes/replica.ts';
import type { Installation } from './installation.ts';

/** What was last heard of a container. */
export interface ContainerRecord {
  /** "fairlead-gateway-x7k2p/envoy" */
  readonly name: string;
  readonly restarts: number;
  /** Undefined as long as it runs. */
  readonly exitCode: number | undefined;
}

interface ContainerStatus {
  readonly name: string;
  readonly restartCount: number;
  readonly state: { readonly terminated?: { readonly exitCode: number } };
}

/** How the containers of a namespace fared, also those whose pods are gone. */
export class PodRecord {
  readonly #byPod = new Map<string, readonly ContainerRecord[]>();
  readonly #stopping = new AbortController();

  /** Of what happens from now on. */
  constructor(installation: Installation) {
    const replica = new Replica(object => {
      this.#byPod.set(object.metadata.name, readContainers(object));
      return object.metadata.resourceVersion;
    });
    void followCollection({
      api: new ApiConnection(installation.cluster.access()),
      collection: { groupVersion: '/api/v1', plural: 'pods', namespace: installation.namespace },
      replica,
      signal: this.#stopping.signal,
      onChange: () => undefined,
      onEvent: () => undefined,
    });
  }

  stop(): void {
    this.#stopping.abort();
  }

  /** Of pods whose names begin so. */
  containers(prefix: string): readonly ContainerRecord[] {
    return [...this.#byPod].flatMap(([pod, containers]) => (pod.startsWith(prefix) ? containers : []));
  }
}

function readContainers({ metadata, status = {} }: ApiObject): readonly ContainerRecord[] {
  const { initContainerStatuses = [], containerStatuses = [] } = status as {
    readonly initContainerStatuses?: readonly ContainerStatus[];
    readonly containerStatuses?: readonly ContainerStatus[];
  };
  return [...initContainerStatuses, ...containerStatuses].map(({ name, restartCount, state }) => ({
    ...{ name: `${metadata.name}/${name}`, restarts: restartCount },
    exitCode: state.terminated?.exitCode,
  }));
}
