import { type ApiConnection, type ApiRequest, MERGE_PATCH } from '../api/api-connection.ts';
import { type ApiFailure, fieldsOf } from '../api/api-failure.ts';
import { retryDelayMs } from '../api/retry-delay.ts';
import { Doorbell } from '../source/doorbell.ts';
import type { LeaderState } from './candidate.ts';

/** What the control plane's Service selects, with the value "true". */
export const LEADER_LABEL = 'fairlead.dev/leader';

/** https://kubernetes.io/docs/concepts/overview/working-with-objects/common-labels/ */
const COMPONENT_LABEL = 'app.kubernetes.io/component';
const INSTANCE_LABEL = 'app.kubernetes.io/instance';

/** How often a leader looks whether the label is where it belongs, milliseconds: people and late requests move it. */
const RESYNC_MS = 30_000;
const BACKOFF = { firstMs: 200, maxMs: 10_000 };
/** A request that takes longer is given up, milliseconds. */
const REQUEST_MS = 5_000;

/** What happens with the label, ready to be logged. */
type LeaderLabelEvent =
  /** `from`: pods of which it was taken, since they lead no more. */
  | { readonly event: 'leader.labelled'; readonly pod: string; readonly from: readonly string[] }
  | { readonly event: 'leader.label_failed'; readonly reason: string; readonly retryInMs: number };

interface LeaderLabelOptions {
  readonly api: Pick<ApiConnection, 'send'>;
  /** Our own. */
  readonly pod: { readonly namespace: string; readonly name: string };
  /** Ends it; the label stays: a pod that ends is none of a Service's anyway. */
  readonly signal: AbortSignal;
  readonly onEvent?: (event: LeaderLabelEvent) => void;
}

/**
 * Keeps the label `fairlead.dev/leader` on the pod that leads, and off the others of its installation: one that was
 * killed keeps its labels. Until told otherwise we are standby: a label left over by a container before us goes.
 */
export class LeaderLabel {
  /** Done after the signal was aborted; never rejects. */
  readonly ended: Promise<void>;
  readonly #options: LeaderLabelOptions;
  readonly #bell = new Doorbell();
  #state: LeaderState = 'standby';
  #told = false;

  constructor(options: LeaderLabelOptions) {
    this.#options = options;
    options.signal.addEventListener('abort', () => this.#bell.ring(), { once: true });
    this.#bell.ring();
    this.ended = this.#run();
  }

  /** While suspended, labels stay as they are: another may be the one who moves them. */
  follow(state: LeaderState): void {
    this.#state = state;
    this.#bell.ring();
  }

  async #run(): Promise<void> {
    const { signal, onEvent = () => {} } = this.#options;
    let failures = 0;
    let wake: NodeJS.Timeout | undefined;
    for (;;) {
      await this.#bell.wait();
      clearTimeout(wake);
      if (signal.aborted) return;
      const reason = await this.#reconcile(this.#state);
      if (signal.aborted) return;
      failures = reason === undefined ? 0 : failures + 1;
      if (reason !== undefined) {
        const retryInMs = retryDelayMs(BACKOFF, failures, Math.random());
        onEvent({ event: 'leader.label_failed', reason, retryInMs: Math.round(retryInMs) });
        wake = setTimeout(() => this.#bell.ring(), retryInMs);
      } else if (this.#state === 'leading') wake = setTimeout(() => this.#bell.ring(), RESYNC_MS);
    }
  }

  /** Gives why it could not. */
  async #reconcile(state: LeaderState): Promise<string | undefined> {
    if (state === 'suspended') return undefined;
    if (state === 'standby') this.#told = false;
    const { pod, onEvent } = this.#options;
    // First ours, then theirs: the Service is to have somebody at any time.
    const { object, failure } = await this.#label(pod.name, state === 'leading' ? 'true' : null);
    if (failure !== undefined) return failure.message;
    if (state === 'standby') return undefined;
    const { names, failure: unlisted } = await this.#labelled(object);
    if (unlisted !== undefined) return unlisted.message;
    const others = names.filter(name => name !== pod.name);
    const results = await Promise.all(others.map(name => this.#label(name, null)));
    const failed = results.find(({ failure }) => failure !== undefined && failure.code !== 404);
    if (failed?.failure !== undefined) return failed.failure.message;
    if (!this.#told || others.length > 0) onEvent?.({ event: 'leader.labelled', pod: pod.name, from: others });
    this.#told = true;
    return undefined;
  }

  /** Pods of the installation that carry the label. `own` is our pod: one namespace can have several installations. */
  async #labelled(own: unknown): Promise<{ readonly names: string[]; readonly failure?: ApiFailure | undefined }> {
    const selector = [`${LEADER_LABEL}=true`];
    for (const label of [COMPONENT_LABEL, INSTANCE_LABEL]) {
      const value = labelOf(own, label);
      selector.push(value === undefined ? `!${label}` : `${label}=${value}`);
    }
    const query = { labelSelector: selector.join(',') };
    const { object, failure } = await this.#ask({ method: 'GET', path: this.#path(), query });
    const { items } = fieldsOf(object);
    const pods: unknown[] = Array.isArray(items) ? items : [];
    return { names: pods.map(pod => String(fieldsOf(fieldsOf(pod).metadata).name)), failure };
  }

  /** A value that is there already is no change to the API server. */
  #label(name: string, value: 'true' | null) {
    const body = { metadata: { labels: { [LEADER_LABEL]: value } } };
    return this.#ask({ method: 'PATCH', path: `${this.#path()}/${name}`, body, contentType: MERGE_PATCH });
  }

  /** Never rejects: a connection that fails has code 0. */
  async #ask(request: ApiRequest): Promise<{ readonly object?: unknown; readonly failure?: ApiFailure }> {
    try {
      return await this.#options.api.send(
        request,
        AbortSignal.any([this.#options.signal, AbortSignal.timeout(REQUEST_MS)]),
      );
    } catch (error) {
      return { failure: { code: 0, message: error instanceof Error ? error.message : String(error) } };
    }
  }

  #path(): string {
    return `/api/v1/namespaces/${this.#options.pod.namespace}/pods`;
  }
}

function labelOf(pod: unknown, label: string): string | undefined {
  const value = fieldsOf(fieldsOf(fieldsOf(pod).metadata).labels)[label];
  return typeof value === 'string' ? value : undefined;
}
