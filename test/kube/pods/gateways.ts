import type { ModelExplanation } from '../../../agent/messages.ts';
import { until } from '../../e2e/harness/until.ts';
import { type Installation, isReady } from './installation.ts';

/** A line of the access log, as far as tests look. */
export interface AccessRecord {
  /** When the request came, milliseconds since the epoch. */
  readonly atMs: number;
  /** Whose answer it was; null where no pod answered. */
  readonly pod: string | null;
  readonly model: string | null;
  readonly code: number;
  readonly attempts: number;
}

interface GatewayPod {
  readonly name: string;
  readonly ip: string;
}

const ADMIN_PORT = 8889;

/** The gateways of an installation, as their admin ports and access logs tell of them. */
export class Gateways {
  readonly #installation: Installation;
  readonly #pods: readonly GatewayPod[];

  private constructor(installation: Installation, pods: readonly GatewayPod[]) {
    this.#installation = installation;
    this.#pods = pods;
  }

  /** Those that are ready now. */
  static async of(installation: Installation): Promise<Gateways> {
    const pods = await installation.pods('app.kubernetes.io/component=gateway');
    return new Gateways(
      installation,
      pods.filter(isReady).map(({ metadata, status }) => ({ name: metadata.name, ip: status.podIP ?? '' })),
    );
  }

  /** What each picks from for this model; undefined where it is not known. */
  explain(model: string): Promise<(ModelExplanation | undefined)[]> {
    return Promise.all(
      this.#pods.map(async pod => {
        const page = (await ask(pod, `/explain?model=${encodeURIComponent(model)}`)) as {
          model: ModelExplanation | null;
        };
        return page.model ?? undefined;
      }),
    );
  }

  /** The number of the newest table that any of them picks by. */
  async tableSequence(): Promise<number> {
    const pages = (await Promise.all(this.#pods.map(pod => ask(pod, '/table')))) as { table: { version: string } }[];
    return Math.max(...pages.map(({ table }) => Number.parseInt(table.version, 10)));
  }

  /**
   * Waits until every gateway picks from exactly these pods, each as "name" or "name ip:port".
   *
   * @returns when all of them said so, milliseconds since the epoch: a request that comes later goes to no other
   */
  untilPicking(model: string, pods: readonly string[]): Promise<number> {
    const wanted = pods.toSorted().join();
    return this.#untilAll(model, `picks from ${wanted}`, explanation => {
      const picked = (explanation?.endpoints ?? []).filter(({ reason }) => reason !== 'draining');
      const told = picked.map(({ endpoint, address }) => {
        const place = `${endpoint} ${address}`;
        return pods.includes(place) ? place : endpoint;
      });
      return told.sort().join() === wanted;
    });
  }

  /** Waits until no gateway picks this pod; when that was, as `untilPicking` says. */
  untilNotPicking(model: string, pod: string): Promise<number> {
    return this.#untilAll(model, `no pick of ${pod}`, explanation => {
      const found = explanation?.endpoints.find(({ endpoint }) => endpoint === pod);
      return found === undefined || found.reason === 'draining';
    });
  }

  async #untilAll(
    model: string,
    what: string,
    hold: (explanation: ModelExplanation | undefined) => boolean,
  ): Promise<number> {
    await until(what, async () => (await this.explain(model)).every(hold), 60_000);
    return Date.now();
  }

  /** All that the access logs say, once they tell of `requests` of them at least: Envoy writes in batches. */
  records(requests: number): Promise<readonly AccessRecord[]> {
    return until(`${requests} access records`, () => {
      const records = this.#pods.flatMap(({ name }) =>
        this.#installation
          .log(name, 'envoy')
          .split('\n')
          .flatMap(line => accessRecord(line) ?? []),
      );
      return records.length >= requests && records.sort((one, other) => one.atMs - other.atMs);
    });
  }
}

async function ask({ ip }: GatewayPod, path: string): Promise<unknown> {
  return (await fetch(`http://${ip}:${ADMIN_PORT}${path}`)).json();
}

function accessRecord(line: string): AccessRecord | undefined {
  // Envoy's own log is there too, and the last line may not be whole yet.
  if (!line.startsWith('{') || !line.endsWith('}')) return undefined;
  const { time, path, pod, model, code, attempts } = JSON.parse(line);
  if (path !== '/v1/chat/completions') return undefined;
  return { atMs: Date.parse(time), pod, model, code, attempts };
}
