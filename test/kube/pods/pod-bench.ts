import { until } from '../../e2e/harness/until.ts';
import { Cluster } from '../cluster.ts';
import { Helm } from '../helm.ts';
import { Nodes } from '../kubelet/nodes.ts';
import type { PodObject } from '../kubelet/pod-object.ts';

type Fields = Readonly<Record<string, unknown>>;

export interface SeenPod extends PodObject {
  readonly status: PodObject['status'] & {
    readonly podIP: string;
    readonly containerStatuses: readonly ContainerStatus[];
  };
}

interface ContainerStatus {
  readonly restartCount: number;
  readonly ready: boolean;
  readonly state: Readonly<Record<string, { readonly reason?: string; readonly exitCode?: number } | undefined>>;
  readonly lastState: ContainerStatus['state'];
}

/** A cluster with two nodes and the image "tool": the programs of this machine. */
export class PodBench {
  readonly cluster: Cluster;
  readonly helm: Helm;
  readonly nodes: Nodes;

  private constructor(cluster: Cluster, nodes: Nodes) {
    this.cluster = cluster;
    this.helm = new Helm(cluster.kubeconfig);
    this.nodes = nodes;
  }

  static async start(): Promise<PodBench> {
    const cluster = await Cluster.start({ controllers: true });
    const images = { tool: { env: { PATH: process.env.PATH ?? '' } } };
    return new PodBench(
      cluster,
      await Nodes.start(cluster, { names: ['node-a', 'node-b'], images, probePeriodScale: 0.1 }),
    );
  }

  async stop(): Promise<void> {
    await this.nodes.stop();
    this.cluster.stop();
  }

  async apply(...documents: readonly Fields[]): Promise<void> {
    const lines = documents.map(document => JSON.stringify(document));
    await this.cluster.kubectl(['apply', '-f', '-'], lines.join('\n'));
  }

  async createPod(name: string, spec: Fields, labels: Fields = {}): Promise<void> {
    await this.apply({ apiVersion: 'v1', kind: 'Pod', metadata: { name, labels }, spec });
  }

  async pod(name: string): Promise<SeenPod> {
    return JSON.parse(await this.cluster.kubectl(['get', 'pod', name, '-o', 'json']));
  }

  /** The pod, when that holds of it. */
  untilPod(name: string, what: string, holds: (pod: SeenPod) => boolean): Promise<SeenPod> {
    let last: SeenPod | undefined;
    const found = until(`${name} ${what}`, async () => {
      last = await this.pod(name);
      return holds(last) && last;
    });
    return found.catch((cause: Error) => {
      throw new Error(`${cause.message}: it is ${JSON.stringify(last?.status, undefined, 1)}`, { cause });
    });
  }

  untilReady(name: string): Promise<SeenPod> {
    return this.untilPod(name, 'ready', pod => isTrue(pod, 'Ready'));
  }

  /** Resolves when it is gone. */
  async delete(name: string, grace: 'now' | 'graceful' = 'graceful'): Promise<void> {
    const how = grace === 'now' ? ['--grace-period=0', '--force'] : [];
    await this.cluster.kubectl(['delete', 'pod', name, ...how]);
  }

  clusterIp(service: string): Promise<string> {
    return this.cluster.kubectl(['get', 'service', service, '-o', 'jsonpath={.spec.clusterIP}']);
  }

  /** What a container printed. */
  log(pod: string, container: string): string {
    return this.nodes.logs('default', pod, container);
  }

  untilLogged(pod: string, container: string, text: string): Promise<boolean> {
    return until(`"${text}" of ${container}`, () => this.log(pod, container).includes(text));
  }

  /** The words that `saying` programs of a pod said, in the order of time. */
  said(pod: string, containers: readonly string[]): string[] {
    const lines = containers.flatMap(container => this.log(pod, container).trim().split('\n'));
    return lines.toSorted().map(line => line.split(' ').slice(1).join(' '));
  }
}

export function isTrue(pod: PodObject, type: string): boolean {
  return pod.status.conditions?.some(condition => condition.type === type && condition.status === 'True') ?? false;
}

/** A container that runs a shell script, in which `say` prints a word and when that was. */
export function saying(name: string, script: string, more: Fields = {}): Fields {
  const say = 'say() { echo "$(date +%s%N) $*"; };';
  return { name, image: 'tool', command: ['sh', '-c', `${say} ${script}`], ...more };
}

/** Says when it begins and ends, which is on SIGTERM. */
export function staying(name: string, more: Fields = {}): Fields {
  return saying(name, `trap 'say ${name} ends; exit 0' TERM; say ${name} begins; ${FOREVER}`, more);
}

/** A shell takes signals between commands only. */
export const FOREVER = 'while :; do sleep 0.02; done';

/** Answers on port 8888 with its pod's name; "/flip" changes whether "/readyz" does well. */
export function answering(name: string, more: Fields = {}): Fields {
  const program = `
    let ready = true;
    require('node:http').createServer((request, response) => {
      if (request.url === '/flip') ready = !ready;
      response.statusCode = request.url === '/readyz' && !ready ? 503 : 200;
      response.end(process.env.ANSWER ?? process.env.HOSTNAME);
    }).listen(8888);
    process.on('SIGTERM', () => process.exit());`;
  const readinessProbe = { httpGet: { path: '/readyz', port: 'http' }, periodSeconds: 1, failureThreshold: 1 };
  return {
    ...{ name, image: 'tool', command: ['node', '-e', program], readinessProbe },
    ports: [{ name: 'http', containerPort: 8_888 }],
    ...more,
  };
}

/** Port 80 of the pods with this label. */
export function serviceOf(app: string): Fields {
  const ports = [{ port: 80, targetPort: 'http' }];
  return { apiVersion: 'v1', kind: 'Service', metadata: { name: app }, spec: { selector: { app }, ports } };
}
