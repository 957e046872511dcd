import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { envoyBinary } from '../../../cli/setup/envoy-binary.ts';
import { until } from '../../e2e/harness/until.ts';
import { Cluster } from '../cluster.ts';
import { Helm, type Values } from '../helm.ts';
import { isSeenInside } from '../kubelet/container-root.ts';
import type { Images } from '../kubelet/image.ts';
import { Nodes } from '../kubelet/nodes.ts';

const ROOT = join(import.meta.dirname, '..', '..', '..');
const WAIT = ['--wait', '--timeout', '120s'];

/** Of `examples/kubernetes/model.yaml`. */
export const EXAMPLE_MODEL = 'meta-llama/Llama-3.1-8B-Instruct';

/** A pod as the API shows it, as far as tests look. */
export interface ListedPod {
  readonly metadata: {
    readonly name: string;
    readonly labels: Readonly<Record<string, string>>;
    readonly deletionTimestamp?: string;
  };
  readonly status: {
    readonly podIP?: string;
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
  };
}

/** A cluster with two nodes whose pods run, into which this checkout's chart is installed as a user would. */
export class Installation {
  readonly namespace = 'fairlead';
  readonly cluster: Cluster;
  readonly nodes: Nodes;
  readonly #helm: Helm;

  private constructor(cluster: Cluster, nodes: Nodes) {
    this.cluster = cluster;
    this.nodes = nodes;
    this.#helm = new Helm(cluster.kubeconfig);
  }

  /** The cluster, with nothing in it yet; to be stopped. */
  static async prepare(): Promise<Installation> {
    const images = await ourImages();
    const cluster = await Cluster.start({ controllers: true });
    const nodes = await Nodes.start(cluster, { names: ['node-a', 'node-b'], images, probePeriodScale: 0.2 });
    return new Installation(cluster, nodes);
  }

  async stop(): Promise<void> {
    await this.nodes.stop();
    this.cluster.stop();
  }

  /** What Helm prints when all is ready. */
  install(values: Values = {}, more: readonly string[] = []): Promise<string> {
    const args = [...this.#inNamespace(), '--create-namespace', ...WAIT, ...more];
    return this.#helm.chart(['install', 'fairlead'], values, args);
  }

  upgrade(values: Values = {}): Promise<string> {
    return this.#helm.chart(['upgrade', 'fairlead'], values, [...this.#inNamespace(), ...WAIT]);
  }

  helm(...args: readonly string[]): Promise<string> {
    return this.#helm.run([...args, ...this.#inNamespace()]);
  }

  /** Applies a manifest of `examples/kubernetes`. */
  async applyExample(file: string): Promise<void> {
    await this.apply(readFileSync(join(ROOT, 'examples', 'kubernetes', file), 'utf8'));
  }

  async apply(manifest: string | object): Promise<void> {
    const text = typeof manifest === 'string' ? manifest : JSON.stringify(manifest);
    await this.kubectl(['apply', '-f', '-'], text);
  }

  kubectl(args: readonly string[], stdin = ''): Promise<string> {
    return this.cluster.kubectl(['--namespace', this.namespace, ...args], stdin);
  }

  /** Where clients connect. */
  async url(): Promise<string> {
    return `http://${await this.kubectl(['get', 'service', 'fairlead', '-o', 'jsonpath={.spec.clusterIP}'])}:8888`;
  }

  async pods(selector: string): Promise<readonly ListedPod[]> {
    return JSON.parse(await this.kubectl(['get', 'pods', '-l', selector, '-o', 'json'])).items;
  }

  untilPods(
    what: string,
    selector: string,
    hold: (pods: readonly ListedPod[]) => boolean,
  ): Promise<readonly ListedPod[]> {
    return until(what, async () => {
      const pods = await this.pods(selector);
      return hold(pods) && pods;
    });
  }

  /** The status of a condition of a ModelDeployment, and its message. */
  async condition(model: string, type: string): Promise<string> {
    const path = `{.status.conditions[?(@.type=="${type}")]['status','reason','message']}`;
    return this.kubectl(['get', 'md', model, '-o', `jsonpath=${path}`]);
  }

  /** What a container printed. */
  log(pod: string, container: string): string {
    return this.nodes.logs(this.namespace, pod, container);
  }

  #inNamespace(): readonly string[] {
    return ['--namespace', this.namespace];
  }
}

export function isReady({ status, metadata }: ListedPod): boolean {
  const ready = status.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') ?? false;
  return ready && metadata.deletionTimestamp === undefined;
}

/**
 * What the Dockerfile makes, from the files of this checkout.
 * @throws Error when containers would not see them
 */
async function ourImages(): Promise<Images> {
  const envoy = await envoyBinary(() => undefined);
  for (const path of [ROOT, envoy]) {
    if (!isSeenInside(path)) {
      throw new Error(`Containers have a /tmp, /run and /proc of their own and do not see ${path}: move it elsewhere.`);
    }
  }
  const path = [join(ROOT, 'cli', 'bin'), join(ROOT, 'node_modules', '.bin'), process.env.PATH].join(':');
  const env = { PATH: path, NODE_ENV: 'production', FAIRLEAD_ENVOY: envoy };
  return { 'localhost/fairlead': { entrypoint: [join(ROOT, 'cli', 'bin', 'fairlead')], env } };
}
