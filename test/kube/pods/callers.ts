import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { UsageReport } from '../../../extproc/admit/usage-report.ts';
import { type Answer, send } from '../../e2e/harness/answer.ts';
import { bearer, type MadeKey } from '../../e2e/harness/consumer.ts';
import { until } from '../../e2e/harness/until.ts';
import { type Installation, isReady, type ListedPod } from './installation.ts';

const NAMESPACE = 'callers';
const FAIRLEAD = join(import.meta.dirname, '..', '..', '..', 'cli', 'bin', 'fairlead');
const LISTENER_PORT = 8888;

/** The Consumers of a namespace of their own, and what who has their keys is answered by an installation's gateways. */
export class Callers {
  readonly #installation: Installation;
  /** Where the Service is. */
  readonly url: string;

  private constructor(installation: Installation, url: string) {
    this.#installation = installation;
    this.url = url;
  }

  /** Of an installation that has a Service. */
  static async of(installation: Installation): Promise<Callers> {
    await installation.kubectl(['create', 'namespace', NAMESPACE]);
    return new Callers(installation, await installation.url());
  }

  /** In their namespace. */
  kubectl(...args: readonly string[]): Promise<string> {
    return this.#installation.cluster.kubectl(['--namespace', NAMESPACE, ...args]);
  }

  async apply(manifest: string | object): Promise<void> {
    const text = typeof manifest === 'string' ? manifest : JSON.stringify(manifest);
    await this.#installation.cluster.kubectl(['apply', '-f', '-'], text);
  }

  /** Makes a Consumer, or changes it. */
  make(name: string, spec: object): Promise<void> {
    const metadata = { name, namespace: NAMESPACE };
    return this.apply({ apiVersion: 'fairlead.dev/v1alpha1', kind: 'Consumer', metadata, spec });
  }

  /** Makes a Consumer with a key. @returns the key */
  async makeWithKey(name: string, spec: object): Promise<string> {
    const { key, sha256 } = await this.newKey(name);
    await this.make(name, { apiKeys: [{ name: 'only', sha256 }], ...spec });
    return key;
  }

  makeSecret(name: string, stringData: object, namespace = NAMESPACE): Promise<void> {
    return this.apply({ apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace }, stringData });
  }

  /** As who gives out keys makes one. */
  async newKey(consumer: string): Promise<MadeKey> {
    const args = ['keys', 'new', '--consumer', `${NAMESPACE}/${consumer}`, '--output', 'json'];
    return JSON.parse((await promisify(execFile)(FAIRLEAD, args)).stdout);
  }

  /** "Accepted=False", say, of these Consumers, or of `--all` of them. */
  async untilCondition(condition: string, ...consumers: readonly string[]): Promise<void> {
    await this.kubectl('wait', 'consumers', ...consumers, `--for=condition=${condition}`, '--timeout=60s');
  }

  /** A field of one, as kubectl's jsonpath has it. */
  field(consumer: string, path: string): Promise<string> {
    return this.kubectl('get', 'consumer', consumer, '-o', `jsonpath={${path}}`);
  }

  /** Both gateways, once they are ready and nobody is on the way out. */
  gateways(): Promise<readonly ListedPod[]> {
    const selector = 'app.kubernetes.io/component=gateway';
    return this.#installation.untilPods('two gateways', selector, pods => pods.length === 2 && pods.every(isReady));
  }

  /** Where each gateway is, without the Service. */
  async gatewayUrls(): Promise<readonly string[]> {
    return (await this.gateways()).map(({ status }) => `http://${status.podIP}:${LISTENER_PORT}`);
  }

  /** Until every gateway takes the key for good, or for none. */
  async untilIs(key: string, status: 200 | 401): Promise<void> {
    const urls = await this.gatewayUrls();
    await until(`${status} from all gateways`, async () => {
      const asked = urls.map(url => send(url, 'GET /v1/usage', { headers: bearer(key) }));
      return (await Promise.all(asked)).every(answer => answer.status === status);
    });
  }

  /** Four tokens, by a connection of their own, so that the Service takes any gateway. */
  ask(key: string | undefined, model = 'llama', url = this.url): Promise<Answer> {
    const headers = { ...(key !== undefined && bearer(key)), connection: 'close' };
    const body = { model, messages: [{ role: 'user', content: 'Ahoy?' }], max_tokens: 4 };
    return send(url, 'POST /v1/chat/completions', { headers, body });
  }

  async usage(key: string): Promise<UsageReport> {
    return JSON.parse((await send(this.url, 'GET /v1/usage', { headers: bearer(key) })).body);
  }
}

/** "429 rate_limit_exceeded" */
export function told({ status, body }: Answer): string {
  return `${status} ${JSON.parse(body).error?.code ?? 'OK'}`;
}
