import { execFile, execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { parseAllDocuments } from 'yaml';

const CHART = join(import.meta.dirname, '..', '..', 'charts', 'fairlead');

/** Values of the chart, as in values.yaml. */
export type Values = Readonly<Record<string, unknown>>;

/** An object of the Kubernetes API, as a template makes it. */
export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
    annotations?: Readonly<Record<string, string>>;
    readonly generation?: number;
  };
  // biome-ignore lint/suspicious/noExplicitAny: what is below differs by kind, and is what the tests look into
  readonly [field: string]: any;
}

/** A real Helm, and the chart of this repository. */
export class Helm {
  readonly #program: string;
  readonly #kubeconfig: string;

  /** @param kubeconfig of the cluster that it installs into; "" where it only renders */
  constructor(kubeconfig: string) {
    const bin = execFileSync(join(import.meta.dirname, 'build.sh'), { encoding: 'utf8' }).trim();
    this.#program = join(bin, 'helm');
    this.#kubeconfig = kubeconfig;
  }

  /** `helm COMMAND RELEASE CHART ARGS…`: what it prints; rejects with what it says when it fails. */
  chart(command: readonly string[], values: Values = {}, args: readonly string[] = []): Promise<string> {
    return this.run([...command, CHART, '--values', '-', ...args], JSON.stringify(values));
  }

  /** The objects that `helm install` would send for these values, hooks too, without the CustomResourceDefinitions. */
  async render(namespace: string, values: Values = {}, release = 'fairlead'): Promise<Manifest[]> {
    const text = await this.chart(['template', release], values, ['--namespace', namespace]);
    return parseAllDocuments(text)
      .map(document => document.toJS() as Manifest | null)
      .filter(document => document !== null);
  }

  async run(args: readonly string[], stdin = ''): Promise<string> {
    const env = { ...process.env, KUBECONFIG: this.#kubeconfig };
    const running = promisify(execFile)(this.#program, [...args], { env, maxBuffer: 16 * 1024 * 1024 });
    // One that ends before it has read everything says why by its exit code.
    running.child.stdin?.on('error', () => undefined).end(stdin);
    return (await running).stdout;
  }
}
