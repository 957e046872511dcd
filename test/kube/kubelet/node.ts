import { followCollection } from '../../../operator/source/kubernetes/list-watch.ts';
import { Replica } from '../../../operator/source/kubernetes/replica.ts';
import type { PodObject } from './pod-object.ts';
import { type PodSurroundings, PodWorker } from './pod-worker.ts';

export type NodeSurroundings = Omit<PodSurroundings, 'nodeIp' | 'allocatable'>;

/** Enough of all that no pod waits for another. */
const ALLOCATABLE = { cpu: '64', memory: '256Gi', pods: '250', 'ephemeral-storage': '100Gi', 'nvidia.com/gpu': '64' };
const POD_ADDRESSES = 254;

/** A node: its object, and the pods that are bound to it. */
export class KubeNode {
  readonly #name: string;
  readonly #index: number;
  readonly #surroundings: PodSurroundings;
  readonly #workers = new Map<string, PodWorker>();
  readonly #addresses = new Set<number>();
  #lastAddress = 1;
  #pods: ReadonlyMap<string, PodObject> = new Map();

  /** @param index from 1 on: its pods have addresses from 10.244.<index>.2 on */
  constructor(name: string, index: number, surroundings: NodeSurroundings) {
    this.#name = name;
    this.#index = index;
    this.#surroundings = { ...surroundings, nodeIp: `10.244.${index}.1`, allocatable: ALLOCATABLE };
  }

  /** Registers the node. @throws Error when the API server does not take it */
  async register(): Promise<void> {
    const { api, nodeIp } = this.#surroundings;
    const now = new Date().toISOString();
    const labels = {
      'kubernetes.io/hostname': this.#name,
      'kubernetes.io/os': 'linux',
      'kubernetes.io/arch': process.arch === 'x64' ? 'amd64' : process.arch,
    };
    const node = {
      apiVersion: 'v1',
      kind: 'Node',
      metadata: { name: this.#name, labels },
      spec: { podCIDR: `10.244.${this.#index}.0/24` },
      status: {
        capacity: ALLOCATABLE,
        allocatable: ALLOCATABLE,
        addresses: [
          { type: 'InternalIP', address: nodeIp },
          { type: 'Hostname', address: this.#name },
        ],
        conditions: [
          { type: 'Ready', status: 'True', reason: 'KubeletReady', lastHeartbeatTime: now, lastTransitionTime: now },
        ],
      },
    };
    const signal = AbortSignal.timeout(10_000);
    const { failure } = await api.send({ method: 'POST', path: '/api/v1/nodes', body: node }, signal);
    if (failure) throw new Error(`node ${this.#name}: ${failure.message}`);
  }

  /** Runs the node's pods until `signal` is aborted. */
  async follow(signal: AbortSignal): Promise<void> {
    const replica = new Replica<PodObject>(object => object as PodObject);
    await followCollection({
      api: this.#surroundings.api,
      collection: {
        groupVersion: '/api/v1',
        plural: 'pods',
        namespace: undefined,
        fieldSelector: `spec.nodeName=${this.#name}`,
      },
      replica,
      signal,
      onChange: () => this.#sync(replica.values),
      onEvent: () => {},
    });
  }

  /** Every pod that is there. */
  get workers(): Iterable<PodWorker> {
    return this.#workers.values();
  }

  #sync(pods: ReadonlyMap<string, PodObject>): void {
    const byUid = new Map([...pods.values()].map(pod => [pod.metadata.uid, pod]));
    for (const [uid, worker] of this.#workers) if (!byUid.has(uid)) worker.remove();
    for (const [uid, pod] of byUid) {
      const before = this.#pods.get(uid);
      if (before === pod) continue;
      const worker = this.#workers.get(uid);
      if (worker) worker.update(pod);
      else if (before === undefined) this.#begin(uid, pod);
    }
    this.#pods = byUid;
  }

  #begin(uid: string, pod: PodObject): void {
    const last = this.#takeAddress();
    const worker = new PodWorker(pod, `10.244.${this.#index}.${last}`, this.#surroundings);
    this.#workers.set(uid, worker);
    worker.finished.finally(() => {
      this.#workers.delete(uid);
      this.#addresses.delete(last);
    });
  }

  /** The one that was free for the longest. */
  #takeAddress(): number {
    do {
      this.#lastAddress = this.#lastAddress >= POD_ADDRESSES ? 2 : this.#lastAddress + 1;
    } while (this.#addresses.has(this.#lastAddress));
    this.#addresses.add(this.#lastAddress);
    return this.#lastAddress;
  }
}
